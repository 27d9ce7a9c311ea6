"""Hooks of the training loop: validation images and a profiler trace."""

import logging
from itertools import islice
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from mai_jax import losses
from mai_jax.batch import Batch
from mai_jax.config import Config
from mai_jax.data import pipeline, sources, strokes
from mai_jax.models.base import Model
from mai_jax.training.metric_writer import MetricWriter
from mai_jax.training.train_state import TrainState
from mai_jax.visualize import show_hole, side_by_side

WARM_UP = 10  # steps before the trace; the first ones compile and fill caches

log = logging.getLogger(__name__)


class Validation:
    """Predicts the same held-out photographs with the same holes during training.

    The hole ratios rise evenly over the range of training from photograph to photograph.
    """

    def __init__(self, config: Config, model: Model) -> None:
        source = sources.open_source(config.data, "test")
        chosen = islice(pipeline.test_images(source, config.image_size), config.run.validation_images)
        self.ids, images = zip(*chosen, strict=True)
        ratios = jnp.linspace(config.holes.min_ratio, config.holes.max_ratio, len(images) + 2)[1:-1]
        rngs = jax.random.split(jax.random.key(config.evaluation.seed), len(images))
        size = (config.image_size, config.image_size)
        valid = jax.jit(jax.vmap(strokes.draw, (0, None, 0)), static_argnums=1)(rngs, size, ratios)
        self.batch = Batch(jnp.asarray(np.stack(images).astype(np.float32) / 255), valid)
        self._predict = jax.jit(model.predict)

    def write(self, step: int, state: TrainState, writer: MetricWriter) -> dict[str, float]:
        """Write one picture (rows = photographs, columns = input, result, truth) and scalars. Return the scalars.

        They are L_hole of the raw prediction over all photographs, and the mean PSNR of the completed ones.
        """
        completion = self._predict(state.eval_variables, self.batch, state.rng)
        columns = {"input": show_hole(self.batch), "result": completion.image, "truth": self.batch.image}
        captions = [f"{name}\n{1 - valid.mean():.0%} hole"
                    for name, valid in zip(self.ids, self.batch.valid, strict=True)]  # fmt: skip
        picture = side_by_side({name: np.asarray(image) for name, image in columns.items()}, captions)
        writer.write_image(step, "validation", np.asarray(picture))
        errors = jnp.square(completion.image - self.batch.image).mean((1, 2, 3))
        scalars = {"validation/hole_l1": float(losses.hole_l1(completion.raw, self.batch)),
                   "validation/psnr": float(-10 * jnp.log10(errors).mean())}
        writer.write_scalars(step, scalars)
        return scalars


class Profile:
    """Writes a trace of `steps` steps to WORKDIR/profile, once, soon after the start; 0 steps write none.

    TensorBoard's profile plugin and Perfetto open it.
    """

    def __init__(self, steps: int, workdir: Path) -> None:
        self._steps = steps
        self._folder = workdir / "profile"
        self._done = 0

    def after_step(self, logs: dict[str, jax.Array]) -> None:
        """Start or stop the trace; to be called after every step with its scalars."""
        self._done += 1
        if self._steps and self._done == WARM_UP:
            jax.block_until_ready(logs)
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
        if self._steps and self._done == WARM_UP + self._steps:
            jax.block_until_ready(logs)
            self.close()

    def close(self) -> None:
        """Stop the trace if one is being written."""
        if self._steps and self._done >= WARM_UP:
            jax.profiler.stop_trace()
            log.info("trace of %d steps: %s", self._done - WARM_UP, self._folder)
        self._steps = 0
