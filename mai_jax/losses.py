"""The loss terms of Eq. 13-22, one function each; their weights are in the config.

All are means, so that no term depends on the batch or image size. `raw` is the generator's prediction of all pixels.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax.batch import Batch
from mai_jax.nn.precision import to_float32

Features = Sequence[Float[Array, "b _h _w _c"]]


def hole_l1(raw: Float[Array, "b h w 3"], batch: Batch) -> Float[Array, ""]:
    """Return L_hole, Eq. 20: the absolute difference inside the hole, averaged over all pixels."""
    return jnp.mean((1 - batch.valid) * jnp.abs(raw - batch.image))


def valid_l1(raw: Float[Array, "b h w 3"], batch: Batch) -> Float[Array, ""]:
    """Return L_valid, Eq. 21: the absolute difference on the valid pixels, averaged over all pixels."""
    return jnp.mean(batch.valid * jnp.abs(raw - batch.image))


def perceptual(predicted: Features, truth: Features) -> Float[Array, ""]:
    """Return L_perceptual, Eq. 13: L1 between VGG features, averaged within each layer, summed over layers."""
    terms = (jnp.mean(jnp.abs(to_float32(p) - to_float32(t))) for p, t in zip(predicted, truth, strict=True))
    return sum(terms)  # type: ignore[return-value]


def squared_features(predicted: Features, truth: Features) -> Float[Array, ""]:
    """Return the squared difference of feature maps, averaged within each layer, summed over layers, as in LaMa."""
    terms = (jnp.mean(jnp.square(to_float32(p) - to_float32(t))) for p, t in zip(predicted, truth, strict=True))
    return sum(terms)  # type: ignore[return-value]


def style(predicted: Features, truth: Features) -> Float[Array, ""]:
    """Return L_style, Eq. 14-15: L1 between Gram matrices, averaged within each layer, summed over layers."""
    terms = (jnp.mean(jnp.abs(_gram(p) - _gram(t))) for p, t in zip(predicted, truth, strict=True))
    return sum(terms)  # type: ignore[return-value]


def _gram(features: Float[Array, "b h w c"]) -> Float[Array, "b c c"]:
    _, h, w, c = features.shape
    summed = jnp.promote_types(features.dtype, jnp.float32)
    return jnp.einsum("bhwc,bhwd->bcd", features, features, preferred_element_type=summed) / (h * w * c)


def total_variation(image: Float[Array, "b h w 3"], batch: Batch) -> Float[Array, ""]:
    """Return L_tv, Eq. 19, of the completed image, over the pairs of neighbours with at least one in the hole."""
    hole = 1 - batch.valid
    down = jnp.maximum(hole[:, 1:], hole[:, :-1]) * jnp.abs(image[:, 1:] - image[:, :-1])
    across = jnp.maximum(hole[:, :, 1:], hole[:, :, :-1]) * jnp.abs(image[:, :, 1:] - image[:, :, :-1])
    return jnp.mean(down) + jnp.mean(across)


def adversarial_generator(logits_fake: Float[Array, "b h w 1"]) -> Float[Array, ""]:
    """Return the generator's L_adv, Eq. 16-18: cross-entropy to the label "real" (the non-saturating form)."""
    return jnp.mean(jax.nn.softplus(-logits_fake))


def adversarial_discriminator(
    logits_real: Float[Array, "b h w 1"], logits_fake: Float[Array, "b h w 1"]
) -> Float[Array, ""]:
    """Return the discriminator's L_adv, Eq. 16-18: cross-entropy of truth to "real" and prediction to "fake"."""
    return jnp.mean(jax.nn.softplus(-logits_real)) + jnp.mean(jax.nn.softplus(logits_fake))
