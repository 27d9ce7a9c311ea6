"""Hooks of the training loop: validation images and a profiler trace."""

import logging
from itertools import islice
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mai_jax import losses, metrics
from mai_jax.batch import Batch
from mai_jax.config import Config
from mai_jax.data import mask_files, pipeline, sources, strokes
from mai_jax.data.hole_sampler import DRAWN
from mai_jax.models.base import Model
from mai_jax.nn import lpips
from mai_jax.training.metric_writer import MetricWriter
from mai_jax.training.train_state import TrainState
from mai_jax.visualize import show_hole, side_by_side

PICTURE_ROWS = 16
WARM_UP = 10  # steps before the trace; the first ones compile and fill caches

log = logging.getLogger(__name__)


class Validation:
    """Predicts the same held-out photographs with the same holes during training.

    The holes are mask files if `config.holes.test_masks` is a folder; otherwise they are drawn, with hole ratios that
    rise evenly over the range of training from photograph to photograph.
    """

    def __init__(self, config: Config, model: Model) -> None:
        source = sources.open_source(config.data, "test")
        chosen = islice(pipeline.test_images(source, config.image_size), config.run.validation_images)
        self.ids, images = zip(*chosen, strict=True)
        self.batch = Batch(jnp.asarray(np.stack(images).astype(np.float32) / 255), _holes(config, len(images)))
        self._size = config.evaluation.batch_size
        self._predict = jax.jit(model.predict)
        self._lpips = lpips.from_package("vgg") if config.run.validation_lpips != "none" else None

    def write(self, step: int, state: TrainState, writer: MetricWriter) -> dict[str, float]:
        """Write a picture of the first PICTURE_ROWS photographs (input, result, truth) and scalars. Return the scalars.

        They are L_hole of the raw prediction over all photographs, and the means of PSNR, SSIM and, if the config asks
        for it, LPIPS of the completed ones, which are not rounded to levels.
        """
        batches = [Batch(*(x[i : i + self._size] for x in self.batch)) for i in range(0, len(self.ids), self._size)]
        completions = [self._predict(state.eval_variables, part, state.rng) for part in batches]
        raw, image = (jnp.concatenate([getattr(c, name) for c in completions]) for name in ("raw", "image"))
        columns = {"input": show_hole(self.batch), "result": image, "truth": self.batch.image}
        columns = {name: column[:PICTURE_ROWS] for name, column in columns.items()}
        captions = [f"{name}\n{1 - valid.mean():.0%} hole"
                    for name, valid in zip(self.ids[:PICTURE_ROWS], self.batch.valid, strict=False)]  # fmt: skip
        picture = side_by_side({name: np.asarray(image) for name, image in columns.items()}, captions)
        writer.write_image(step, "validation", np.asarray(picture))
        truth = self.batch.image
        scalars = {"validation/hole_l1": float(losses.hole_l1(raw, self.batch)),
                   "validation/psnr": float(metrics.psnr(image, truth).mean()),
                   "validation/ssim": float(metrics.ssim(image, truth).mean())}
        if self._lpips is not None:
            parts = [lpips.distance(self._lpips, image[i : i + self._size], truth[i : i + self._size])
                     for i in range(0, len(self.ids), self._size)]
            scalars["validation/lpips"] = float(jnp.concatenate(parts).mean())
        writer.write_scalars(step, scalars)
        return scalars


def _holes(config: Config, count: int) -> Float[Array, "b h w 1"]:
    """Return the `valid` of `count` photographs."""
    rngs = jax.random.split(jax.random.key(config.evaluation.seed), count)
    if config.holes.test_masks != DRAWN:
        bits = mask_files.load(config.holes.test_masks, config.image_size, config.holes).bits
        return jax.jit(jax.vmap(mask_files.sample_valid, (None, 0)))(bits, rngs)
    ratios = jnp.linspace(config.holes.min_ratio, config.holes.max_ratio, count + 2)[1:-1]
    size = (config.image_size, config.image_size)
    return jax.jit(jax.vmap(strokes.draw, (0, None, 0)), static_argnums=1)(rngs, size, ratios)


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
