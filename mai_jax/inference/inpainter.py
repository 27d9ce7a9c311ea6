"""The inference engine of the library, the commands, the web page and the evaluator.

All of them use this one class, so that the measured predictions are those that users get.
"""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, UInt8

from mai_jax.batch import Batch, Completion, Masked
from mai_jax.config import Config
from mai_jax.inference import model_registry, tiling
from mai_jax.inference.accepted_inputs import as_arrays
from mai_jax.inference.model_loading import load_model
from mai_jax.inference.tiling import Pixels, Plan, Window
from mai_jax.models import title
from mai_jax.models.base import Model, StochasticModel, Variables

REPLICATED, SHARDED = PartitionSpec(), PartitionSpec("data")
MAX_RATIO = 0.15  # hole ratio of a window above which the window is downscaled: see benchmarks/windows.py
MAX_WINDOWS = 8  # windows per batch

Program = Callable[[Variables, Batch, Any], Float[Array, "..."]]  # (variables, batch, rng or one seed per image)


class Inpainter:
    """A trained model that fills holes in photographs of any size, on all devices of this process."""

    def __init__(
        self, model: Model, config: Config, variables: Variables, step: int, devices: list[jax.Device] | None = None
    ) -> None:
        self.config = config
        self.step = step
        self._mesh = Mesh(np.array(devices or jax.local_devices()), ("data",))
        self._variables = jax.device_put(variables, NamedSharding(self._mesh, REPLICATED))

        def complete(variables: Variables, batch: Batch, rng: Array) -> Completion:
            return model.predict(variables, batch, rng)

        def predict(variables: Variables, batch: Batch, rng: Array) -> Float[Array, "b h w 3"]:
            return complete(variables, batch, rng).raw

        self._complete = jax.jit(complete)
        self._predictor = _DataParallel(predict, self._mesh, REPLICATED, SHARDED)
        self._sampler = None
        if isinstance(model, StochasticModel):
            program = _sampling_program(model, config)
            self._sampler = _DataParallel(program, self._mesh, SHARDED, PartitionSpec(None, *SHARDED))

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, step: int | None = None, devices: list[jax.Device] | None = None
    ) -> "Inpainter":
        """Return an inpainter with the newest checkpoint (or that of `step`) of a training folder, or a packed model.

        Raises InputError if there is no usable checkpoint.
        """
        return cls(*load_model(path, step), devices)

    @classmethod
    def from_pretrained(
        cls, model: str | Path, step: int | None = None, devices: list[jax.Device] | None = None
    ) -> "Inpainter":
        """Return an inpainter with a model by its name (`mai models` lists them) or by its folder.

        Nothing is downloaded. Raises InputError if the model is not there or not usable.
        """
        return cls.from_checkpoint(model_registry.find(model), step, devices)

    def __call__(self, image: Any, hole: Any) -> Pixels:
        """Return the photograph, uint8 or uint16 [h, w, 3] of any size, with its hole, bool [h, w], filled.

        Both may also be JAX arrays, images of Pillow, or files (see `accepted_inputs.as_arrays`). Pixels outside the
        hole are returned bit for bit. A photograph larger than `config.image_size` is processed in windows around its
        holes (see `tiling`), so memory and time depend on the hole. Raises InputError for inputs of another kind.
        """
        image, hole = as_arrays(image, hole)
        plan = self.plan(hole)
        return tiling.paste(image, hole, plan, self._predict_windows(image, hole, plan))

    @property
    def description(self) -> str:
        """What is loaded, for users."""
        steps, size = f"trained for {self.step:,} steps, " if self.step else "", self.config.image_size
        return f"{title(self.config.method)}, {steps}windows of {size} x {size} pixels"

    def plan(self, hole: Bool[np.ndarray, "h w"]) -> Plan:
        """Return the windows through which `__call__` fills this hole."""
        return tiling.plan(hole, self.config.image_size, MAX_RATIO)

    def attention_inputs(self, image: Pixels, hole: Bool[np.ndarray, "h w"], window: Window) -> dict[str, Masked]:
        """Return the input features of each attention stage for that window, by stage name, with a batch axis of 1."""
        pixels, window_hole = tiling.cut(image, hole, window)
        aux = self._complete(self._variables, _batch(pixels[None], window_hole[None]), jax.random.key(0)).aux
        return {name: value for name, value in aux.items() if isinstance(value, Masked)}

    def predict(
        self, images: UInt8[np.ndarray, "b h w 3"], holes: Bool[np.ndarray, "b h w"]
    ) -> Float[Array, "b h w 3"]:
        """Return the raw prediction at all pixels, not clipped, for photographs of one size."""
        return self._predict(images.astype(np.float32) / 255, holes)

    def predict_samples(
        self, images: UInt8[np.ndarray, "b h w 3"], holes: Bool[np.ndarray, "b h w"]
    ) -> Float[Array, "n b h w 3"]:
        """Return `num_samples` raw predictions per photograph.

        The rng of a photograph is derived from the evaluation seed, its given pixels and its hole, so its samples do
        not depend on the rest of the batch.
        """
        if self._sampler is None:
            return self.predict(images, holes)[None]
        given = np.where(holes[..., None], np.uint8(0), images)
        seeds = [zlib.crc32(np.packbits(hole).data, zlib.crc32(image))
                 for image, hole in zip(given, holes, strict=True)]
        batch = _batch(images.astype(np.float32) / 255, holes)
        return self._sampler(self._variables, batch, np.array(seeds, np.uint32))

    @property
    def num_samples(self) -> int:
        """The number of samples of `predict_samples`: `config.pic.num_samples` of a stochastic model, otherwise 1."""
        return 1 if self._sampler is None else self.config.pic.num_samples

    def _predict(
        self, images: Float[np.ndarray, "b h w 3"], holes: Bool[np.ndarray, "b h w"]
    ) -> Float[Array, "b h w 3"]:
        return self._predictor(self._variables, _batch(images, holes), jax.random.key(0))

    def _predict_windows(
        self, image: Pixels, hole: Bool[np.ndarray, "h w"], plan: Plan
    ) -> Iterator[tuple[Window, Float[np.ndarray, "s s 3"]]]:
        for group in _groups(plan.windows):
            cuts = [tiling.cut(image, hole, window) for window in group]
            pixels, holes = (np.stack(part) for part in zip(*cuts, strict=True))
            prediction = np.asarray(self._predict(pixels, holes))
            # A downscaled pixel that is only partly hole keeps the mean of its given part.
            yield from zip(group, np.where(holes[..., None], prediction, pixels), strict=True)


class _DataParallel:
    """A compiled `program` over a mesh; `extra` and `out` are the shardings of its last argument and of its result."""

    def __init__(self, program: Program, mesh: Mesh, extra: PartitionSpec, out: PartitionSpec) -> None:
        self._mesh = mesh
        self.replicated = jax.jit(program)
        # Each device runs the program on its own shard, so that the result does not depend on the number of devices.
        self.sharded = jax.jit(jax.shard_map(
            program, mesh=mesh, in_specs=(REPLICATED, SHARDED, extra), out_specs=out, check_vma=False))

    def __call__(self, variables: Variables, batch: Batch, extra: Any) -> Float[Array, "..."]:
        divides = len(batch.image) % self._mesh.size == 0
        batch = jax.device_put(batch, NamedSharding(self._mesh, SHARDED if divides else REPLICATED))
        return (self.sharded if divides else self.replicated)(variables, batch, extra)


def _sampling_program(model: StochasticModel, config: Config) -> Program:
    """Return the program (variables, batch, one seed per photograph) -> samples."""

    def sample_one(variables: Variables, one: Batch, seed: Any) -> Float[Array, "n h w 3"]:
        rng = jax.random.fold_in(jax.random.key(config.evaluation.seed), seed)
        return model.sample(variables, Batch(*(x[None] for x in one)), rng, config.pic.num_samples)[:, 0]

    return jax.vmap(sample_one, in_axes=(None, 0, 0), out_axes=1)


def _batch(images: Float[np.ndarray, "b h w 3"], holes: Bool[np.ndarray, "b h w"]) -> Batch:
    # NumPy arrays, which jit and device_put accept: device_put sends each device only its own shard.
    return Batch(images, 1 - holes[..., None].astype(np.float32))  # type: ignore[arg-type]


def _groups(windows: list[Window]) -> Iterator[list[Window]]:
    """Yield slices of MAX_WINDOWS, then of decreasing powers of two, so that few batch sizes are compiled."""
    start, count = 0, MAX_WINDOWS
    while start < len(windows):
        while count > len(windows) - start:
            count //= 2
        yield windows[start : start + count]
        start += count
