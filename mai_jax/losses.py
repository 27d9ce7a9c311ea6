"""The terms of Eq. 13-22, one function each; their weights stand in the config.

All are means, so that no term depends on the batch or image size. `raw` is what the generator painted everywhere.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax.nn.precision import wide
from mai_jax.types import Batch

Features = Sequence[Float[Array, "b _h _w _c"]]


def hole_l1(raw: Float[Array, "b h w 3"], batch: Batch) -> Float[Array, ""]:
    """L_hole, Eq. 20: the difference inside the hole, averaged over all pixels."""
    return jnp.mean((1 - batch.known) * jnp.abs(raw - batch.image))


def valid_l1(raw: Float[Array, "b h w 3"], batch: Batch) -> Float[Array, ""]:
    """L_valid, Eq. 21: the difference on the given pixels, averaged over all pixels."""
    return jnp.mean(batch.known * jnp.abs(raw - batch.image))


def perceptual(predicted: Features, truth: Features) -> Float[Array, ""]:
    """L_perceptual, Eq. 13: L1 between VGG features, averaged within each layer, summed over layers."""
    return sum(jnp.mean(jnp.abs(wide(p) - wide(t))) for p, t in zip(predicted, truth, strict=True))


def style(predicted: Features, truth: Features) -> Float[Array, ""]:
    """L_style, Eq. 14-15: L1 between Gram matrices, averaged within each layer, summed over layers."""
    return sum(jnp.mean(jnp.abs(_gram(p) - _gram(t))) for p, t in zip(predicted, truth, strict=True))


def _gram(features: Float[Array, "b h w c"]) -> Float[Array, "b c c"]:
    _, h, w, c = features.shape
    summed = jnp.promote_types(features.dtype, jnp.float32)
    return jnp.einsum("bhwc,bhwd->bcd", features, features, preferred_element_type=summed) / (h * w * c)


def total_variation(image: Float[Array, "b h w 3"], batch: Batch) -> Float[Array, ""]:
    """L_tv, Eq. 19, of the completed image, on the pairs of neighbours of which at least one is in the hole."""
    hole = 1 - batch.known
    down = jnp.maximum(hole[:, 1:], hole[:, :-1]) * jnp.abs(image[:, 1:] - image[:, :-1])
    across = jnp.maximum(hole[:, :, 1:], hole[:, :, :-1]) * jnp.abs(image[:, :, 1:] - image[:, :, :-1])
    return jnp.mean(down) + jnp.mean(across)


def adversarial_generator(logits_fake: Float[Array, "b h w 1"]) -> Float[Array, ""]:
    """L_adv for the generator, Eq. 16-18: have the prediction judged real (the non-saturating form)."""
    return jnp.mean(jax.nn.softplus(-logits_fake))


def adversarial_discriminator(
    logits_real: Float[Array, "b h w 1"], logits_fake: Float[Array, "b h w 1"]
) -> Float[Array, ""]:
    """L_adv for the discriminator, Eq. 16-18: tell truth from prediction."""
    return jnp.mean(jax.nn.softplus(-logits_real)) + jnp.mean(jax.nn.softplus(logits_fake))
