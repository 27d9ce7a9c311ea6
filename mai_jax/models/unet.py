"""The U-Net of partial convolutions, Tables 1-2 without attention: shared by PConv and MAI."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from mai_jax import config as config_lib
from mai_jax import losses
from mai_jax.batch import Batch, Completion, Masked, complete
from mai_jax.config import Config
from mai_jax.models.base import Variables, network_variables, pad_with_hole, rematerialize
from mai_jax.nn import vgg
from mai_jax.nn.normalization import EPSILON, MOMENTUM, RegionNorm
from mai_jax.nn.partial_conv import PartialConv, UpsamplePartialConv
from mai_jax.nn.precision import to_compute_dtype
from mai_jax.nn.smooth_fill import smooth_fill

ENCODER_KERNELS = {1: 7, 2: 5, 3: 5}  # Table 2; 3 from Encode_4 on


class UNet(nn.Module):
    """Tables 1 and 2 without the attention: `depth` partial convolutions in each direction."""

    config: config_lib.Generator
    depth: int
    dtype: str = "float32"  # of the activations; the last layer's are float32

    def channels(self, level: int) -> int:
        """Return the channels after Encode_level: 64, 128, 256, then 512 at the paper's width."""
        return self.config.width * min(2 ** (level - 1), 8)

    def refine(self, level: int, decoded: Masked, image: Masked) -> tuple[Masked, dict[str, Masked]]:
        """Return the refined output of Decode_level and named intermediates. Overridden by MAI; here the identity."""
        del level, image
        return decoded, {}

    @nn.compact
    def __call__(
        self, image: Masked, *, train: bool, freeze_encoder_norm: bool = False
    ) -> tuple[Float[Array, "b h w 3"], dict[str, Masked]]:
        """Return the raw prediction and the named intermediates."""
        given = self._with_smooth_fill(image) if self.config.smooth_fill else image
        x = given._replace(x=to_compute_dtype(given.x, self.dtype))
        skips = [x]
        for i in range(1, self.depth + 1):
            x = PartialConv(self.channels(i), ENCODER_KERNELS.get(i, 3), 2, use_bias=i == 1, name=f"encode_{i}")(x)
            if i > 1:
                x = self._normalize(x, image, i, f"encode_{i}_norm", running=not train or freeze_encoder_norm)
            x = x._replace(x=nn.relu(x.x))
            skips.append(x)

        named: dict[str, Masked] = {}
        for i in range(self.depth, 1, -1):
            x = UpsamplePartialConv(self.channels(i - 1), use_bias=False, name=f"decode_{i}")(x, skips[i - 1])
            x = self._normalize(x, image, i - 1, f"decode_{i}_norm", running=not train)
            x = x._replace(x=nn.leaky_relu(x.x, self.config.leaky_slope))
            x, more = self.refine(i, x, image)
            named |= more
        x = x._replace(x=x.x.astype(image.x.dtype))
        if not self.config.smooth_fill:
            return UpsamplePartialConv(3, name="decode_1")(x, given).x, named
        # The kernel starts at 0: the first prediction is the smooth fill.
        difference = UpsamplePartialConv(3, kernel_init=nn.initializers.zeros_init(), name="decode_1")(x, given).x
        return given.x[..., :3] + difference, named

    def _with_smooth_fill(self, image: Masked) -> Masked:
        """Return the image with its hole filled smoothly and `valid` as a fourth channel. All of it is valid."""
        filled = smooth_fill(image.x, image.valid, self.depth)
        # The barrier hides the constant: XLA would sum it over the windows of all layers while it compiles, slowly.
        all_valid = jax.lax.optimization_barrier(jnp.ones_like(image.valid))
        return Masked(jnp.concatenate([filled, image.valid], -1), all_valid)

    def _normalize(self, features: Masked, image: Masked, level: int, name: str, *, running: bool) -> Masked:
        x = features.x
        # Maps below 8x8 have too few positions per region: the variance is noise, and gradients explode.
        if self.config.norm == "region" and self.depth - level >= 3:
            norm = RegionNorm(running, name=name)
            return features._replace(x=norm(x, downsample_valid(image.valid, x.shape)))
        batch_norm = nn.BatchNorm(running, momentum=MOMENTUM, epsilon=EPSILON, dtype=x.dtype, name=name)
        return features._replace(x=batch_norm(x))


def downsample_valid(valid: Float[Array, "b h w 1"], shape: tuple[int, ...]) -> Float[Array, "b h2 w2 1"]:
    """Return the image's `valid` at the size of a feature map: each position takes the pixel nearest to its centre."""
    step = valid.shape[1] // shape[1]
    # Not by indexing, which becomes a gather if the size is variable, as in an export.
    return jax.lax.slice(valid, (0, step // 2, step // 2, 0), valid.shape, (1, step, step, 1))


class UNetModel:
    """What PConv and MAI share: a generator built on the U-Net, and frozen VGG-16 features for the losses."""

    generator_class = UNet

    def __init__(self, config: Config, phase: str = "main") -> None:
        self.config = config
        self.phase = config.phases[phase]
        self.depth = config.image_size.bit_length() - 1  # 8 levels at 256: the innermost map is one pixel
        self.generator = self.generator_class(config.generator, self.depth, config.dtype)
        self.vgg16 = vgg.VGG16Features(config.vgg16.width, config.dtype, config.vgg16.normalize)

    @cached_property
    def vgg16_params(self) -> dict[str, Any]:
        """Weights of the feature extractor: read for training only, never trained, not part of a checkpoint."""
        return vgg.from_config(vgg.VGG16_POOLED, self.config.vgg16)

    def prepare(self) -> None:
        if self.needs_features:
            _ = self.vgg16_params

    @property
    def needs_features(self) -> bool:
        """Whether the perceptual or the style loss has a weight."""
        return bool(self.config.losses.perceptual or self.config.losses.style)

    def feature_terms(
        self, predictions: Sequence[Float[Array, "b h w 3"]], truth: Float[Array, "b h w 3"]
    ) -> dict[str, Float[Array, ""]]:
        """Return the terms of Eq. 13-15, summed over the predictions. Empty, and VGG not run, if both weights are 0."""
        if not self.needs_features:
            return {}
        features: list[Any] = [self.vgg16.apply({"params": self.vgg16_params}, x) for x in (truth, *predictions)]
        target, of_predictions = features[0], features[1:]
        return {term.__name__: sum(  # type: ignore[misc]
                    term(of_prediction, target) for of_prediction in of_predictions)
                for term in (losses.perceptual, losses.style)}

    def generate(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch
    ) -> tuple[Float[Array, "b h w 3"], PyTree]:
        """Return the raw prediction in training mode and the generator's running statistics after it."""

        def forward(own: PyTree) -> tuple[tuple[Array, Any], Any]:
            variables = {"params": own, "batch_stats": batch_stats["generator"]}
            return self.generator.apply(variables, Masked(*batch), train=True, mutable=["batch_stats"],
                                        freeze_encoder_norm=self.phase.freeze_encoder_norm)

        (raw, _), updated = rematerialize(forward, enabled=self.config.remat)(params["generator"])
        return raw, updated["batch_stats"]

    def predict(self, variables: Variables, batch: Batch, rng: Array) -> Completion:
        """Fill the holes. The batch is padded to a multiple of 2^depth with hole, which partial convolution ignores."""
        del rng  # deterministic
        _, h, w, _ = batch.image.shape
        padded = pad_with_hole(batch, 2**self.depth)
        raw, named = self.generator.apply(network_variables("generator", **variables), Masked(*padded), train=False)
        raw = raw[:, :h, :w]
        return Completion(raw, complete(raw, batch), named)  # type: ignore[arg-type]
