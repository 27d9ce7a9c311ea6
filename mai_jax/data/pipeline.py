"""uint8 images from a source: endless shuffled batches for training, every image once and in order for testing."""

import functools
from collections.abc import Iterator

import grain
import numpy as np
from jaxtyping import UInt8

from mai_jax.config import Config
from mai_jax.data import images
from mai_jax.data.images import Encoded
from mai_jax.data.sources import Source
from mai_jax.errors import InputError

CENTRE = (0.5, 0.5)
# Sources of at most this many photographs are kept in memory decoded, because decoding takes far longer than cropping.
SMALL_SOURCE = 16
SHUFFLED_EPOCHS = 64  # epochs of a small source that are shuffled together: grain needs 16 / length ms per index


class _DecodeAndCrop(grain.transforms.RandomMap):
    """Turns an encoded image into a training example: decodes, resizes and crops it."""

    def __init__(self, size: int, shorter_side: int, crop: str, *, keep_decoded: bool):
        self._size, self._shorter_side, self._crop = size, shorter_side, crop
        self._decode = functools.cache(images.decode) if keep_decoded else images.decode

    def random_map(self, element: Encoded, rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
        offset = tuple(rng.uniform(size=2)) if self._crop == "random" else CENTRE
        # Twice the needed size: below that the scaling of the JPEG decoder would be visible.
        image = self._decode(element["bytes"], element["id"], draft=2 * self._shorter_side)
        return images.resize_crop(image, self._size, self._shorter_side, offset)


def train_batches(
    source: Source, config: Config, *, start: int, process_index: int = 0, process_count: int = 1
) -> grain.DatasetIterator:
    """Return an endless iterator over this process's shard, [batch_size / process_count, s, s, 3], of global batches.

    Every epoch has a new order and new crops. The stream depends only on the seed, not on the number of processes or
    threads; `start` is the number of batches that were consumed before. `get_state()["next_index"]` is the number of
    batches consumed so far, and `close()` ends the threads. Iterating raises InputError for an unusable image.
    """
    if config.batch_size % process_count:
        raise InputError(f"config.batch_size={config.batch_size}: must be divisible by {process_count} processes")
    transform = _DecodeAndCrop(config.image_size, config.data.shorter_side, config.data.crop,
                               keep_decoded=_is_small(source))
    # Sharded after random_map, so that the rng of an example follows from its index in the global stream.
    shard = _Shard(_shuffled(source, config).random_map(transform), config.batch_size, process_index, process_count)
    batches = shard.batch(config.batch_size // process_count, drop_remainder=True)
    threads = config.run.read_threads
    # The buffer size is in batches; grain's default is 500.
    iterator = iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)))
    iterator.set_state({"next_index": start})
    return iterator


def ids(source: Source, config: Config, index: int) -> list[str]:
    """Return the ids of the photographs in global batch number `index`, counted from 0."""
    stream, begin = _shuffled(source, config), index * config.batch_size
    return [stream[i]["id"] for i in range(begin, begin + config.batch_size)]


def _shuffled(source: Source, config: Config) -> grain.MapDataset:
    """Return the endless stream of encoded images, with a new order in every epoch."""
    dataset = grain.MapDataset.source(source).seed(config.seed % 2**32)
    return dataset.repeat(SHUFFLED_EPOCHS if _is_small(source) else 1).shuffle().repeat()


def _is_small(source: Source) -> bool:
    return len(source) <= SMALL_SOURCE


class _Shard(grain.MapDataset):
    """The rows of one process in every global batch: adjacent rows, equally many for every process."""

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
    """Yield (id, image) of every image in source order, resized to a shorter side of `size` and centre-cropped."""
    for i in range(len(source)):
        encoded = source[i]
        yield encoded["id"], images.resize_crop(images.decode(encoded["bytes"], encoded["id"]), size, size, CENTRE)
