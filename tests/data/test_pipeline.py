"""The stream of training batches does not depend on processes, threads or restarts; test images come in order."""

import io
import itertools
import threading
import time

import numpy as np
import pytest
from PIL import Image

from mai_jax.config import Config, Data, Run
from mai_jax.data import images
from mai_jax.data.pipeline import Unreadable, ids, train_batches
from mai_jax.data.pipeline import test_images as images_for_testing
from mai_jax.errors import InputError


class MemorySource:
    """`count` images in which red is the index of the image, green the column, blue the row."""

    def __init__(self, count, height=40, width=60, damaged=()):
        self._files = []
        for i in range(count):
            pixels = np.full((height, width, 3), i, np.uint8)
            pixels[..., 1], pixels[..., 2] = np.arange(width), np.arange(height)[:, None]
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, format="png")
            self._files.append(b"no image" if i in damaged else stream.getvalue())

    def __len__(self):
        return len(self._files)

    def __getitem__(self, i):
        return {"id": f"{i}.png", "bytes": self._files[i]}

    def __repr__(self):
        return "MemorySource()"


def make_config(batch_size=4, crop="random", threads=2, seed=0, shorter_side=40):
    return Config(seed=seed, image_size=16, batch_size=batch_size, data=Data(shorter_side=shorter_side, crop=crop),
                  run=Run(read_threads=threads))


def take_batches(count, source, config, **options):
    iterator = train_batches(source, config, **{"start": 0, **options})
    try:
        return np.stack(list(itertools.islice(iterator, count)))
    finally:
        iterator.close()


def test_batches_are_uint8_crops_of_the_images():
    batches = take_batches(25, MemorySource(20), make_config())
    assert batches.shape == (25, 4, 16, 16, 3) and batches.dtype == np.uint8
    corner = batches[..., :1, :1, :]
    np.testing.assert_array_equal(batches[..., 0] - corner[..., 0], 0)
    np.testing.assert_array_equal((batches[..., 1] - corner[..., 1]).reshape(-1, 16), np.tile(np.arange(16), (1600, 1)))
    np.testing.assert_array_equal(batches[..., 2] - corner[..., 2] - np.arange(16)[:, None], 0)


def test_every_epoch_has_every_image_once_in_a_new_order_with_new_crops():
    batches = take_batches(40, MemorySource(20), make_config()).reshape(8, 20, 16, 16, 3)
    orders = batches[:, :, 0, 0, 0]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({order.tobytes() for order in orders}) == 8
    first = batches[orders == 0][:, 0, 0]
    assert len({corner.tobytes() for corner in first}) >= 7
    left, top = batches[..., 0, 0, 1], batches[..., 0, 0, 2]
    assert left.min() <= 2 and left.max() >= 42 and top.min() <= 2 and top.max() >= 22


def test_few_images_appear_equally_often():
    numbers = take_batches(48, MemorySource(3), make_config())[..., 0, 0, 0]
    assert list(np.bincount(numbers.reshape(-1))) == [64, 64, 64]


def test_stream_depends_on_the_seed():
    one, again, other, negative = (take_batches(3, MemorySource(20), make_config(seed=seed)) for seed in (1, 1, 2, -1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any() and (one != negative).any()


@pytest.mark.parametrize("process_count", [2, 4])
def test_stream_does_not_depend_on_the_number_of_processes(process_count):
    whole = take_batches(12, MemorySource(10), make_config())
    parts = [take_batches(12, MemorySource(10), make_config(), process_index=i, process_count=process_count)
             for i in range(process_count)]
    assert parts[0].shape == (12, 4 // process_count, 16, 16, 3)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("count", [3, 20])
def test_ids_of_a_batch_match_its_images(count):
    config, source = make_config(), MemorySource(count)
    numbers = take_batches(9, source, config)[..., 0, 0, 0]
    for index in (0, 1, 8):
        assert ids(source, config, index) == [f"{number}.png" for number in numbers[index]]


def test_stream_does_not_depend_on_the_number_of_threads():
    one, five = (take_batches(12, MemorySource(20), make_config(threads=threads)) for threads in (1, 5))
    np.testing.assert_array_equal(one, five)


@pytest.mark.parametrize("start", [1, 7, 30])
def test_starting_later_equals_skipping(start):
    whole = take_batches(start + 4, MemorySource(20), make_config())
    np.testing.assert_array_equal(take_batches(4, MemorySource(20), make_config(), start=start), whole[start:])


def test_state_counts_the_batches_consumed():
    iterator = train_batches(MemorySource(20), make_config(), start=5)
    assert iterator.get_state()["next_index"] == 5
    next(iterator)
    next(iterator)
    assert iterator.get_state()["next_index"] == 7
    iterator.close()


def test_close_ends_the_threads():
    before = set(threading.enumerate())
    iterator = train_batches(MemorySource(20), make_config(), start=0)
    next(iterator)
    assert set(threading.enumerate()) - before
    iterator.close()
    deadline = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before


def test_centre_crop_and_resize():
    source = MemorySource(20, height=80, width=50)
    batches = take_batches(5, source, make_config(crop="center", shorter_side=25)).reshape(20, 16, 16, 3)
    for image in batches:
        encoded = source[image[0, 0, 0]]["bytes"]
        np.testing.assert_array_equal(image, images.resize_crop(images.decode(encoded, "x"), 16, 25, (0.5, 0.5)))


@pytest.mark.parametrize("count", [3, 20])
def test_damaged_image_raises_an_error_that_names_it(count):
    with pytest.raises(InputError) as error:
        take_batches(2 * count, MemorySource(count, damaged=[2]), make_config())
    assert str(error.value) == "2.png: is not an image of a known format; remove it or replace it"


@pytest.mark.parametrize("count, damaged", [(60, [2, 59]), (16, [])])
def test_unreadable_images_are_left_out_and_named(count, damaged):
    """The next image takes the place, whatever the threads, the start and the processes; the crops stay the same."""
    config = make_config()
    config.data.unreadable = "skip"
    source, whole = MemorySource(count, damaged=damaged), take_batches(20, MemorySource(count), config)
    unreadable = Unreadable(["an earlier one"])
    batches = take_batches(20, source, config, unreadable=unreadable)
    number = batches[..., 0, 0, 0]
    follower = {i: (i + 1) % count for i in damaged}
    np.testing.assert_array_equal(number, np.vectorize(lambda i: follower.get(i, i))(whole[..., 0, 0, 0]))
    np.testing.assert_array_equal(batches[..., 1:], whole[..., 1:])
    assert sorted(unreadable.take_new()) == [f"{i}.png: is not an image of a known format" for i in damaged]
    assert unreadable.take_new() == [] and len(unreadable.known) == 1 + len(damaged)
    np.testing.assert_array_equal(take_batches(3, source, config, start=7, process_index=1, process_count=2),
                                  batches[7:10, 2:])
    assert ids(source, config, 3) == [f"{i}.png" for i in number[3]]


def test_too_many_unreadable_images_end_the_stream():
    config = make_config()
    config.data.unreadable = "skip"
    for count, known in ((3, []), (40, ["a: is lost", "b: is lost"])):
        message = rf"2\.png: is not .* known format; with it {1 + len(known)} of {count} .* at most 5%: replace them"
        with pytest.raises(InputError, match=message):
            take_batches(count, MemorySource(count, damaged=[2]), config, unreadable=Unreadable(known))


def test_batch_size_must_be_divisible_by_the_number_of_processes():
    with pytest.raises(InputError, match=r"config\.batch_size=4: must be divisible by 3 processes"):
        train_batches(MemorySource(20), make_config(), start=0, process_count=3)


def test_test_images_come_once_in_order_and_are_centre_crops():
    source = MemorySource(5, height=40, width=60)
    result = list(images_for_testing(source, 40))
    assert [name for name, _ in result] == [f"{i}.png" for i in range(5)]
    for i, (_, image) in enumerate(result):
        assert image.shape == (40, 40, 3) and image.dtype == np.uint8
        assert (image[..., 0] == i).all() and (image[..., 1] == np.arange(10, 50)).all()
    halved = next(images_for_testing(source, 20))[1].astype(float)
    np.testing.assert_allclose(halved[2:-2, 2:-2, 2], (np.arange(20) * 2 + 0.5)[2:-2, None].repeat(16, 1), atol=1)
    with pytest.raises(InputError, match=r"^1\.png: "):
        list(images_for_testing(MemorySource(2, damaged=[1]), 40))
