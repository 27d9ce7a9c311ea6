"""The same held-out photographs with the same holes, painted again and again while a run goes on."""

from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np

from mai_jax import losses
from mai_jax.config import Config
from mai_jax.data import hole_generator, pipeline, sources
from mai_jax.logbook import Logbook
from mai_jax.models.base import Model
from mai_jax.training.state import State
from mai_jax.types import Batch
from mai_jax.visualize import show_hole, side_by_side


class Pictures:
    """Holds the photographs and holes. Ratios rise evenly over the range of training, from picture to picture."""

    def __init__(self, config: Config, model: Model) -> None:
        source = sources.open_source(config.data, "test")
        chosen = islice(pipeline.test_images(source, config.image_size), config.run.pictures)
        self.ids, images = zip(*chosen, strict=True)
        ratios = jnp.linspace(config.holes.min_ratio, config.holes.max_ratio, len(images) + 2)[1:-1]
        keys = jax.random.split(jax.random.key(config.evaluation.seed), len(images))
        size = (config.image_size, config.image_size)
        known = jax.jit(jax.vmap(hole_generator.draw, (0, None, 0)), static_argnums=1)(keys, size, ratios)
        self.batch = Batch(np.stack(images).astype(np.float32) / 255, np.asarray(known))
        self._paint = jax.jit(model.paint)

    def write(self, step: int, state: State, logbook: Logbook) -> None:
        """Paints with `state` and writes one picture, rows = photographs, columns = input, result, truth."""
        completion = self._paint(state.params, state.stats, self.batch, state.key)
        columns = {"input": show_hole(self.batch), "result": completion.image, "truth": self.batch.image}
        captions = [f"{name}\n{1 - k.mean():.0%} hole" for name, k in zip(self.ids, self.batch.known, strict=True)]
        picture = side_by_side({name: np.asarray(image) for name, image in columns.items()}, captions)
        logbook.pictures(step, "validation", np.asarray(picture))
        logbook.scalars(step, {"validation/hole_l1": float(losses.hole_l1(completion.raw, self.batch))})
