"""One engine paints holes for library, commands and evaluator, so that what users get is what is measured."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, UInt8

from mai_jax import checkpoint
from mai_jax.config import Config
from mai_jax.models import MODELS
from mai_jax.models.base import ByPlayer, Model
from mai_jax.types import Batch
from mai_jax.visualize import to_uint8

EVERYWHERE, PARTS = PartitionSpec(), PartitionSpec("data")


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

        def paint(variables: tuple[ByPlayer, ByPlayer], batch: Batch, key: Array) -> Float[Array, "b h w 3"]:
            return model.paint(*variables, batch, key).raw

        self._paint_together = jax.jit(paint)
        # Each device runs the program of its own part, so that the result does not depend on how many there are.
        self._paint_in_parts = jax.jit(jax.shard_map(
            paint, mesh=self._mesh, in_specs=(EVERYWHERE, PARTS, EVERYWHERE), out_specs=PARTS, check_vma=False))

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, step: int | None = None, devices: list[jax.Device] | None = None
    ) -> "Inpainter":
        """Reads the newest checkpoint (or that of `step`) of a training folder. Raises InputError."""
        reader = checkpoint.Reader(Path(path), step)
        model = MODELS[reader.config.method](reader.config)
        size = reader.config.image_size
        batch = Batch(jnp.zeros((1, size, size, 3)), jnp.ones((1, size, size, 1)))
        params, stats = jax.eval_shape(model.init, jax.random.key(0), batch)
        saved = reader.read("params", {"params": params, "stats": stats})
        return cls(model, reader.config, saved["params"], saved["stats"], reader.step, devices)

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], hole: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
        """The photograph with its hole filled; every pixel outside the hole is the one given, bit for bit."""
        painted = to_uint8(np.asarray(self.paint(image[None], hole[None])))[0]
        return np.where(hole[..., None], painted, image)

    def paint(
        self, images: UInt8[np.ndarray, "b h w 3"], holes: Bool[np.ndarray, "b h w"]
    ) -> Float[Array, "b h w 3"]:
        """What the network paints everywhere, not completed and not clipped, of photographs of one size."""
        batch = Batch(images.astype(np.float32) / 255, 1 - holes[..., None].astype(np.float32))
        divides = len(images) % self._mesh.size == 0
        batch = jax.device_put(batch, NamedSharding(self._mesh, PARTS if divides else EVERYWHERE))
        paint = self._paint_in_parts if divides else self._paint_together
        return paint(self._variables, batch, jax.random.key(0))
