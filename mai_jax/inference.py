"""One engine paints holes for library, commands and evaluator, so that what users get is what is measured."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, UInt8

from mai_jax import checkpoint
from mai_jax.config import Config
from mai_jax.models import MODELS
from mai_jax.models.base import ByPlayer, Model
from mai_jax.types import Batch
from mai_jax.visualize import to_uint8


class Inpainter:
    """A trained method that fills holes in photographs of any size."""

    def __init__(self, model: Model, config: Config, params: ByPlayer, stats: ByPlayer, step: int) -> None:
        self.config = config
        self.step = step
        self._variables = jax.device_put((params, stats))
        self._paint = jax.jit(lambda variables, batch, key: model.paint(*variables, batch, key).raw)

    @classmethod
    def from_checkpoint(cls, path: str | Path, step: int | None = None) -> "Inpainter":
        """Reads the newest checkpoint (or that of `step`) of a training folder. Raises InputError."""
        reader = checkpoint.Reader(Path(path), step)
        model = MODELS[reader.config.method](reader.config)
        size = reader.config.image_size
        batch = Batch(jnp.zeros((1, size, size, 3)), jnp.ones((1, size, size, 1)))
        params, stats = jax.eval_shape(model.init, jax.random.key(0), batch)
        saved = reader.read("params", {"params": params, "stats": stats})
        return cls(model, reader.config, saved["params"], saved["stats"], reader.step)

    def __call__(self, image: UInt8[np.ndarray, "h w 3"], hole: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
        """The photograph with its hole filled; every pixel outside the hole is the one given, bit for bit."""
        return self.batch(image[None], hole[None])[0]

    def batch(
        self, images: UInt8[np.ndarray, "b h w 3"], holes: Bool[np.ndarray, "b h w"]
    ) -> UInt8[np.ndarray, "b h w 3"]:
        """Many photographs of one size at once."""
        batch = Batch(images.astype(np.float32) / 255, 1 - holes[..., None].astype(np.float32))
        raw = self._paint(self._variables, batch, jax.random.key(0))
        return np.where(holes[..., None], to_uint8(np.asarray(raw)), images)
