"""LaMa (Suvorov et al., WACV 2022): a residual network of fast Fourier convolutions, for holes of any shape.

The networks, losses and weights are those of the authors' big-lama (source licence: Apache-2.0). Deviations:

- The perceptual term (their HRF, weight 30) compares features of a dilated ResNet-50 that was trained for
  segmentation. Those weights are not available here. VGG-16's features after pool1, pool2 and pool3 take their place,
  with weight 0.1: for a hole in its mean colour the term is 26, and with weight 30 it would be a hundred times the
  adversarial term.
- All gradients of a step are taken at its old parameters; the original updates the generator first.
- Batch normalization stores the variance of the batch as it is (divided by n), not the unbiased one.
"""

from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree

from mai_jax import losses
from mai_jax.batch import Batch, Completion, complete
from mai_jax.config import Config
from mai_jax.models.base import Aux, Variables, adam, network_variables, rematerialize, weighted_sum
from mai_jax.models.lama_networks import LEVELS, Discriminator, Generator, Images, Map
from mai_jax.nn import vgg
from mai_jax.nn.residual_blocks import init_values


class LaMa:
    """The method: a generator and a discriminator."""

    networks = ("generator", "discriminator")

    def __init__(self, config: Config, phase: str = "main") -> None:
        del phase  # all phases are the same
        self.config = config
        self.generator = Generator(config.lama.width, config.lama.blocks, config.dtype)
        self.discriminator = Discriminator(config.lama.discriminator_width, config.dtype)
        self.vgg16 = vgg.VGG16Features(config.vgg16.width, config.dtype)

    @cached_property
    def vgg16_params(self) -> dict[str, Any]:
        """Weights of the feature extractor: read for training only, never trained, not part of a checkpoint."""
        return vgg.from_config(vgg.VGG16_POOLED, self.config.vgg16)

    def prepare(self) -> None:
        if self.config.lama.perceptual:
            _ = self.vgg16_params

    def make_optimizers(self, schedule: optax.Schedule) -> dict[str, optax.GradientTransformation]:
        c = self.config.lama
        return {"generator": adam(c.generator_adam, schedule), "discriminator": adam(c.discriminator_adam, schedule)}

    def init(self, rng: Array, batch: Batch) -> Variables:
        """Return initial variables with PyTorch's default distributions, which the original keeps."""

        def shapes() -> tuple[Any, Any]:
            return self.generator.init(rng, batch, train=False), self.discriminator.init(rng, batch.image)

        generator, discriminator = map(init_values, jax.random.split(rng), jax.eval_shape(shapes))
        return {"params": {"generator": generator["params"], "discriminator": discriminator["params"]},
                "batch_stats": {"generator": generator["batch_stats"], "discriminator": {}}}  # fmt: skip

    def loss(
        self, network: str, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch,
        outputs: dict[str, Array], rng: Array,
    ) -> tuple[Float[Array, ""], Aux]:  # fmt: skip
        del rng  # neither loss is random
        if network == "generator":
            return self._generator_loss(params, batch_stats, batch)
        return self._discriminator_loss(params["discriminator"], batch, outputs["raw"])

    def _generator_loss(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch
    ) -> tuple[Float[Array, ""], Aux]:
        def forward(own: PyTree) -> Any:
            variables = {"params": own, "batch_stats": batch_stats["generator"]}
            return self.generator.apply(variables, batch, train=True, mutable=["batch_stats"])

        raw, updated = rematerialize(forward, enabled=self.config.remat)(params["generator"])
        (*real, _), (*fake, logits) = (self._maps(params["discriminator"], images) for images in (batch.image, raw))
        terms = {
            "l1": losses.valid_l1(raw, batch),
            "adversarial": losses.adversarial_generator(logits),
            "feature_matching": losses.squared_features(fake, real) / len(real),
        }
        if self.config.lama.perceptual:
            predicted, truth = (self.vgg16.apply({"params": self.vgg16_params}, x) for x in (raw, batch.image))
            terms["perceptual"] = losses.squared_features(predicted, truth)  # type: ignore[arg-type]
        return weighted_sum(terms, self.config.lama), Aux({"raw": raw}, updated["batch_stats"], terms)

    def _discriminator_loss(self, params: PyTree, batch: Batch, raw: Images) -> tuple[Float[Array, ""], Aux]:
        """Return the cross-entropy, in which predicted patches outside the hole count as real, and the penalty R1."""

        def logits_of_real(images: Images) -> tuple[Float[Array, ""], Map]:
            logits = self._maps(params, images)[-1]
            return logits.sum(), logits

        gradient, real = jax.grad(logits_of_real, has_aux=True)(batch.image)
        fake = self._maps(params, raw)[-1]
        hole = resize_nearest(1 - batch.valid, fake.shape[1:3])
        terms = {
            "adversarial": jnp.mean(jax.nn.softplus(-real)) + jnp.mean(
                hole * jax.nn.softplus(fake) + (1 - hole) * jax.nn.softplus(-fake)),
            "gradient_penalty": jnp.mean(jnp.sum(jnp.square(gradient), axis=(1, 2, 3))),
        }
        total = terms["adversarial"] + self.config.lama.gradient_penalty * terms["gradient_penalty"]
        return total, Aux({}, {}, terms)

    def _maps(self, params: PyTree, images: Images) -> tuple[Map, ...]:
        """Return the maps of the discriminator. Nothing uses its running statistics, so they are not kept."""
        maps, _ = self.discriminator.apply({"params": params}, images, mutable=["batch_stats"])
        return maps

    def predict(self, variables: Variables, batch: Batch, rng: Array) -> Completion:
        """Fill the holes. Image and hole are padded at the bottom and right by mirroring, as in the original's test."""
        del rng  # deterministic
        _, h, w, _ = batch.image.shape
        by = ((0, 0), (0, -h % 2**LEVELS), (0, -w % 2**LEVELS), (0, 0))
        padded = Batch(*(jnp.pad(x, by, mode="symmetric") for x in batch))
        own = network_variables("generator", **variables)
        raw: Any = self.generator.apply(own, padded, train=False)
        raw = raw[:, :h, :w]
        return Completion(raw, complete(raw, batch), {})


def resize_nearest(x: Float[Array, "b _ _ c"], size: tuple[int, ...]) -> Float[Array, "b _ _ c"]:
    """Return a map at another size: each position takes the pixel at its own upper left corner."""
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, x.shape[1:3], strict=True))
    return x[:, rows][:, :, columns]
