"""From a source to uint8 pixels: endless shuffled batches for training, every image once and in order for testing."""

import functools
from collections.abc import Iterator

import grain
import numpy as np
from jaxtyping import UInt8

from mai_jax.config import Config
from mai_jax.data import images
from mai_jax.data.sources import Encoded, Source
from mai_jax.types import InputError

CENTRE = (0.5, 0.5)
FEW = 16  # so few photographs are kept in memory once decoded, since decoding takes far longer than cropping ...
EPOCHS = 64  # ... and so many of their epochs are shuffled together: grain needs 16 / length milliseconds an index


class _Window(grain.transforms.RandomMap):
    """Decode, resize and crop: one training example."""

    def __init__(self, size: int, shorter_side: int, crop: str, *, keep_decoded: bool):
        self._size, self._shorter_side, self._crop = size, shorter_side, crop
        self._decode = functools.cache(images.decode) if keep_decoded else images.decode

    def random_map(self, element: Encoded, rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
        offset = tuple(rng.uniform(size=2)) if self._crop == "random" else CENTRE
        # Twice the size that is needed: closer than that, the JPEG decoder's own scaling would be seen.
        image = self._decode(element["bytes"], element["id"], draft=2 * self._shorter_side)
        return images.resize_crop(image, self._size, self._shorter_side, offset)


def train_batches(
    source: Source, config: Config, *, start: int, process_index: int = 0, process_count: int = 1
) -> grain.DatasetIterator:
    """Endless iterator over this process's share, [batch_size / process_count, s, s, 3], of each global batch.

    Every epoch is shuffled anew and every visit to an image draws a new crop. The stream of examples depends on the
    seed only: not on the number of processes or threads, and after `start` batches already consumed it goes on as if it
    had not been interrupted. `get_state()["next_index"]` is the number of batches consumed, `close()` ends the threads,
    and an image that cannot be used raises its InputError.
    """
    if config.batch_size % process_count:
        raise InputError(f"config.batch_size={config.batch_size}: must be divisible by {process_count} processes")
    window = _Window(config.image_size, config.data.shorter_side, config.data.crop, keep_decoded=_few(source))
    # Split after random_map, whose randomness then belongs to the example's place in the global, endless stream.
    share = _Share(_order(source, config).random_map(window), config.batch_size, process_index, process_count)
    batches = share.batch(config.batch_size // process_count, drop_remainder=True)
    threads = config.run.read_threads
    # The buffer counts batches. Grain's default would hold 500 of them.
    iterator = iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)))
    iterator.set_state({"next_index": start})
    return iterator


def ids(source: Source, config: Config, index: int) -> list[str]:
    """The names of the photographs in global batch number `index`, from 0 on."""
    order, begin = _order(source, config), index * config.batch_size
    return [order[i]["id"] for i in range(begin, begin + config.batch_size)]


def _order(source: Source, config: Config) -> grain.MapDataset:
    """The endless stream of files, every epoch shuffled anew."""
    dataset = grain.MapDataset.source(source).seed(config.seed % 2**32)
    return dataset.repeat(EPOCHS if _few(source) else 1).shuffle().repeat()


def _few(source: Source) -> bool:
    return len(source) <= FEW


class _Share(grain.MapDataset):
    """Of every global batch the rows of one process: as many as each of the others has, one after the other."""

    def __init__(self, parent: grain.MapDataset, batch_size: int, process_index: int, process_count: int):
        super().__init__(parent)
        self._batch_size, self._count = batch_size, batch_size // process_count
        self._first = process_index * self._count

    def __len__(self) -> int:
        return len(self._parent) // self._batch_size * self._count

    def __getitem__(self, i: int) -> UInt8[np.ndarray, "s s 3"]:
        batch, row = divmod(i, self._count)
        return self._parent[batch * self._batch_size + self._first + row]


def test_images(source: Source, size: int) -> Iterator[tuple[str, UInt8[np.ndarray, "s s 3"]]]:
    """(id, image) of every image in the source's order: the shorter side resized to `size`, cropped at the centre."""
    for i in range(len(source)):
        encoded = source[i]
        yield encoded["id"], images.resize_crop(images.decode(encoded["bytes"], encoded["id"]), size, size, CENTRE)
