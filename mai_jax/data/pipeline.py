"""uint8 images from a source: endless shuffled batches for training, every image once and in order for testing."""

import functools
import operator
import threading
from collections.abc import Iterable, Iterator, Sized
from typing import SupportsIndex

import grain
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mai_jax.config import Config
from mai_jax.data import images
from mai_jax.data.sources import Source
from mai_jax.errors import InputError

CENTRE = (0.5, 0.5)
# Sources of at most this many photographs are kept in memory decoded, because decoding takes far longer than cropping.
SMALL_SOURCE = 16
MAX_UNREADABLE = 0.05  # share of the training photographs that may be left out
SHUFFLED_EPOCHS = 64  # epochs of a small source that are shuffled together: grain needs 16 / length ms per index


class Unreadable:
    """The photographs that training leaves out because they cannot be read, by `data.unreadable="skip"`.

    `known` has a sentence for each, which names it. `add` may be called by any thread, the other functions by one.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.known = list(known)
        self._new: list[str] = []
        self._lock = threading.Lock()

    def add(self, error: InputError, number: int) -> None:
        """Note a photograph, one of `number`. Raises InputError if more than MAX_UNREADABLE of them are unreadable."""
        problem = str(error).rpartition(";")[0]
        with self._lock:
            if problem not in self.known and problem not in self._new:
                self._new.append(problem)
            count = len(self.known) + len(self._new)
        if count > MAX_UNREADABLE * number:
            raise InputError(f"{problem}; with it {count} of {number} training photographs are unreadable, and "
                             f"config.data.unreadable=skip leaves out at most {MAX_UNREADABLE:.0%}: replace them")

    def take_new(self) -> list[str]:
        """Return the photographs that were noted since the last call. They are known from now on."""
        with self._lock:
            new, self._new = self._new, []
            self.known += new
        return new


class _Photographs:
    """A source of decoded images, (id, image); unreadable ones are replaced by the next of the source.

    Which one follows depends on the files alone, so a resumed run sees the same images.
    """

    def __init__(self, source: Source, config: Config, unreadable: Unreadable | None = None) -> None:
        self._source = source
        # Twice the needed size: below that the scaling of the JPEG decoder would be visible.
        self._draft = 2 * config.data.shorter_side
        self._skips = config.data.unreadable == "skip"
        self._unreadable = Unreadable() if unreadable is None else unreadable
        self._decode = functools.cache(images.decode) if _is_small(source) else images.decode

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, i: SupportsIndex) -> tuple[str, Image.Image]:
        i = operator.index(i)
        while True:  # ends, because MAX_UNREADABLE is below 1
            try:
                encoded = self._source[i]
                return encoded["id"], self._decode(encoded["bytes"], encoded["id"], draft=self._draft)
            except InputError as error:
                if not self._skips:
                    raise
                self._unreadable.add(error, len(self))
            i = (i + 1) % len(self)


class _Crop(grain.transforms.RandomMap):
    """Turns a decoded photograph into a training example: resizes and crops it."""

    def __init__(self, config: Config):
        self._size, self._shorter_side, self._crop = config.image_size, config.data.shorter_side, config.data.crop

    def random_map(self, element: tuple[str, Image.Image], rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
        offset = tuple(rng.uniform(size=2)) if self._crop == "random" else CENTRE
        return images.resize_crop(element[1], self._size, self._shorter_side, offset)


def train_batches(
    source: Source, config: Config, *, start: int, process_index: int = 0, process_count: int = 1,
    unreadable: Unreadable | None = None,
) -> grain.DatasetIterator:  # fmt: skip
    """Return an endless iterator over this process's shard, [batch_size / process_count, s, s, 3], of global batches.

    Every epoch has a new order and new crops. The stream depends only on the seed, not on the number of processes or
    threads; `start` is the number of batches that were consumed before. `get_state()["next_index"]` is the number of
    batches consumed so far, and `close()` ends the threads. Iterating raises InputError for an unusable image, or notes
    it in `unreadable` if `config.data.unreadable` is "skip".
    """
    if config.batch_size % process_count:
        raise InputError(f"config.batch_size={config.batch_size}: must be divisible by {process_count} processes")
    crops = _shuffled(_Photographs(source, config, unreadable), config).random_map(_Crop(config))
    # Sharded after random_map, so that the rng of an example follows from its index in the global stream.
    shard = _Shard(crops, config.batch_size, process_index, process_count)
    batches = shard.batch(config.batch_size // process_count, drop_remainder=True)
    threads = config.run.read_threads
    # The buffer size is in batches; grain's default is 500.
    iterator = iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)))
    iterator.set_state({"next_index": start})
    return iterator


def ids(source: Source, config: Config, index: int) -> list[str]:
    """Return the ids of the photographs in global batch number `index`, counted from 0."""
    stream, begin = _shuffled(range(len(source)), config), index * config.batch_size
    chosen = [stream[i] for i in range(begin, begin + config.batch_size)]
    if config.data.unreadable == "skip":
        photographs = _Photographs(source, config)
        return [photographs[i][0] for i in chosen]
    return [source[i]["id"] for i in chosen]


def _shuffled(elements: _Photographs | range, config: Config) -> grain.MapDataset:
    """Return the endless stream of the elements, with a new order in every epoch."""
    dataset = grain.MapDataset.source(elements).seed(config.seed % 2**32)
    return dataset.repeat(SHUFFLED_EPOCHS if _is_small(elements) else 1).shuffle().repeat()


def _is_small(source: Sized) -> bool:
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
