"""One engine paints holes for library, commands, page and evaluator, so that what users get is what is measured."""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, UInt8

from mai_jax.config import Config
from mai_jax.inference import trained, windows
from mai_jax.inference.windows import Pixels, Plan, Window
from mai_jax.models.base import ByPlayer, Model, Sampler
from mai_jax.types import Batch, Completion, InputError, Masked

EVERYWHERE, PARTS = PartitionSpec(), PartitionSpec("data")
MAX_RATIO = 0.15  # share of hole above which a window is shrunk: see benchmarks/windows.py
TOGETHER = 8  # windows that are painted at once

Program = Callable[[tuple[ByPlayer, ByPlayer], Batch, Any], Float[Array, "..."]]  # (variables, batch, key or numbers)


class Inpainter:
    """A trained method that fills holes in photographs of any size, on all devices of this process."""

    def __init__(
        self, model: Model, config: Config, params: ByPlayer, stats: ByPlayer, step: int,
        devices: list[jax.Device] | None = None,
    ) -> None:  # fmt: skip
        self.config = config
        self.step = step
        self._mesh = Mesh(np.array(devices or jax.local_devices()), ("data",))
        self._variables = jax.device_put((params, stats), NamedSharding(self._mesh, EVERYWHERE))

        def complete(variables: tuple[ByPlayer, ByPlayer], batch: Batch, key: Array) -> Completion:
            return model.paint(*variables, batch, key)

        def paint(variables: tuple[ByPlayer, ByPlayer], batch: Batch, key: Array) -> Float[Array, "b h w 3"]:
            return complete(variables, batch, key).raw

        self._complete = jax.jit(complete)
        self._painter = _OverDevices(paint, self._mesh, EVERYWHERE, PARTS)
        self._sampler = None
        if isinstance(model, Sampler):
            self._sampler = _OverDevices(_sampling(model, config), self._mesh, PARTS, PartitionSpec(None, *PARTS))

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, step: int | None = None, devices: list[jax.Device] | None = None
    ) -> "Inpainter":
        """Reads the newest checkpoint (or that of `step`) of a training folder. Raises InputError."""
        return cls(*trained.read(path, step), devices)

    def __call__(self, image: np.ndarray, hole: np.ndarray) -> Pixels:
        """The photograph, uint8 or uint16 [h, w, 3] of any size, with its hole, bool [h, w], filled.

        Every pixel outside the hole is the one given, bit for bit. A photograph larger than the network's square is
        painted through windows around its holes (see `windows`), so memory and time follow the hole. Raises InputError
        for arrays of another kind.
        """
        if image.dtype not in (np.uint8, np.uint16) or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"image: is {image.dtype} {image.shape}; give uint8 or uint16 [height, width, 3]")
        if hole.dtype != bool or hole.shape != image.shape[:2]:
            raise InputError(f"hole: is {hole.dtype} {hole.shape}; give bool {image.shape[:2]}, True where to paint")
        plan = self.plan(hole)
        return windows.paste(image, hole, plan, self._paintings(image, hole, plan))

    def plan(self, hole: Bool[np.ndarray, "h w"]) -> Plan:
        """Through which windows this hole is painted."""
        return windows.plan(hole, self.config.image_size, MAX_RATIO)

    def attended(self, image: Pixels, hole: Bool[np.ndarray, "h w"], window: Window) -> dict[str, Masked]:
        """The named features that the method's attention stages attend to in that window; batch axis of 1."""
        seen, unseen = windows.cut(image, hole, window)
        aux = self._complete(self._variables, _batch(seen[None], unseen[None]), jax.random.key(0)).aux
        return {name: value for name, value in aux.items() if isinstance(value, Masked)}

    def paint(
        self, images: UInt8[np.ndarray, "b h w 3"], holes: Bool[np.ndarray, "b h w"]
    ) -> Float[Array, "b h w 3"]:
        """What the network paints everywhere, not completed and not clipped, of photographs of one size."""
        return self._paint(images.astype(np.float32) / 255, holes)

    def samples(
        self, images: UInt8[np.ndarray, "b h w 3"], holes: Bool[np.ndarray, "b h w"]
    ) -> Float[Array, "n b h w 3"]:
        """The same, n = `config.pic.samples` times by a method that paints by lot, and once by any other.

        A photograph's lots follow from the evaluation's seed, its given pixels and its hole: not from its neighbours.
        """
        if self._sampler is None:
            return self.paint(images, holes)[None]
        seen = np.where(holes[..., None], np.uint8(0), images)
        numbers = [zlib.crc32(np.packbits(hole), zlib.crc32(image)) for image, hole in zip(seen, holes, strict=True)]
        batch = _batch(images.astype(np.float32) / 255, holes)
        return self._sampler(self._variables, batch, np.array(numbers, np.uint32))

    @property
    def draws(self) -> int:
        """How many `samples` there are."""
        return 1 if self._sampler is None else self.config.pic.samples

    def _paint(self, images: Float[np.ndarray, "b h w 3"], holes: Bool[np.ndarray, "b h w"]) -> Float[Array, "b h w 3"]:
        return self._painter(self._variables, _batch(images, holes), jax.random.key(0))

    def _paintings(
        self, image: Pixels, hole: Bool[np.ndarray, "h w"], plan: Plan
    ) -> Iterator[tuple[Window, Float[np.ndarray, "s s 3"]]]:
        for group in _groups(plan.windows):
            seen, unseen = (np.stack(part) for part in zip(*(windows.cut(image, hole, w) for w in group), strict=True))
            painted = np.asarray(self._paint(seen, unseen))
            # Where a network pixel is only partly hole, its given part goes on into the hole.
            yield from zip(group, np.where(unseen[..., None], painted, seen), strict=True)


class _OverDevices:
    """`program`, compiled; `extra` and `out` say how its last argument and its result lie on the mesh."""

    def __init__(self, program: Program, mesh: Mesh, extra: PartitionSpec, out: PartitionSpec) -> None:
        self._mesh = mesh
        self.together = jax.jit(program)
        # Each device runs the program of its own part, so that the result does not depend on how many there are.
        self.in_parts = jax.jit(jax.shard_map(
            program, mesh=mesh, in_specs=(EVERYWHERE, PARTS, extra), out_specs=out, check_vma=False))

    def __call__(self, variables: tuple[ByPlayer, ByPlayer], batch: Batch, extra: Any) -> Float[Array, "..."]:
        divides = len(batch.image) % self._mesh.size == 0
        batch = jax.device_put(batch, NamedSharding(self._mesh, PARTS if divides else EVERYWHERE))
        return (self.in_parts if divides else self.together)(variables, batch, extra)


def _sampling(model: Sampler, config: Config) -> Program:
    """The samples of a batch, from a number for each of its photographs."""

    def of_one(variables: tuple[ByPlayer, ByPlayer], one: Batch, number: Any) -> Float[Array, "n h w 3"]:
        key = jax.random.fold_in(jax.random.key(config.evaluation.seed), number)
        return model.samples(*variables, Batch(*(x[None] for x in one)), key, config.pic.samples)[:, 0]

    return jax.vmap(of_one, in_axes=(None, 0, 0), out_axes=1)


def _batch(images: Float[np.ndarray, "b h w 3"], holes: Bool[np.ndarray, "b h w"]) -> Batch:
    return Batch(images, 1 - holes[..., None].astype(np.float32))


def _groups(items: list[Window]) -> Iterator[list[Window]]:
    """Slices of TOGETHER and then of ever smaller powers of two, so that only a few batch sizes are ever compiled."""
    start, count = 0, TOGETHER
    while start < len(items):
        while count > len(items) - start:
            count //= 2
        yield items[start : start + count]
        start += count
