"""The Multistage Attention Network: generator of Tables 1-2, discriminator of Table 3, overall loss of Eq. 22."""

from functools import cached_property
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax import config as config_lib
from mai_jax import losses
from mai_jax.models.base import Aux, ByPlayer, pad_with_hole
from mai_jax.nn import vgg16
from mai_jax.nn.attention import PixelwiseAttention
from mai_jax.nn.partial_conv import PartialConv
from mai_jax.nn.patch_discriminator import PatchDiscriminator
from mai_jax.types import Batch, Completion, Masked, complete

ENCODER_KERNELS = {1: 7, 2: 5, 3: 5}  # Table 2; 3 from Encode_4 on
ATTENTION = {4: "attention_1", 3: "attention_2"}  # after Decode_4 and Decode_3, at any depth


class Generator(nn.Module):
    """Tables 1 and 2: a U-Net of `depth` partial convolutions each way, attention at 1/8 and 1/4 of the size."""

    config: config_lib.Generator
    depth: int

    def channels(self, level: int) -> int:
        """Channels after Encode_level: 64, 128, 256, then 512 at the paper's width."""
        return self.config.width * min(2 ** (level - 1), 8)

    @nn.compact
    def __call__(
        self, image: Masked, *, train: bool, freeze_encoder_norm: bool = False
    ) -> tuple[Float[Array, "b h w 3"], dict[str, Masked]]:
        """The raw prediction, and the features that each attention stage attends to."""
        skips, x = [image], image
        for i in range(1, self.depth + 1):
            conv = PartialConv(self.channels(i), ENCODER_KERNELS.get(i, 3), 2, use_bias=i == 1, name=f"encode_{i}")
            x = conv(x)
            if i > 1:
                x = _norm(x, f"encode_{i}_norm", running=not train or freeze_encoder_norm)
            x = x._replace(x=nn.relu(x.x))
            skips.append(x)

        attended = {}
        for i in range(self.depth, 1, -1):
            x = PartialConv(self.channels(i - 1), use_bias=False, name=f"decode_{i}")(_upsample(x), skips[i - 1])
            x = _norm(x, f"decode_{i}_norm", running=not train)
            x = x._replace(x=nn.leaky_relu(x.x, self.config.leaky_slope))
            if i in ATTENTION:
                attended[ATTENTION[i]] = Masked(x.x, _shrink(image.known, x.x.shape))
                x = x._replace(x=self._attention(ATTENTION[i])(attended[ATTENTION[i]]))
        return PartialConv(3, name="decode_1")(_upsample(x), image).x, attended

    def _attention(self, name: str) -> PixelwiseAttention:
        c = self.config
        return PixelwiseAttention(c.attention_scale, c.attention_window, c.attention, c.squeeze, name=name)


def _norm(features: Masked, name: str, *, running: bool) -> Masked:
    return features._replace(x=nn.BatchNorm(use_running_average=running, momentum=0.9, name=name)(features.x))


def _upsample(features: Masked) -> Masked:
    return Masked(*(part.repeat(2, axis=1).repeat(2, axis=2) for part in features))


def _shrink(known: Float[Array, "b h w 1"], shape: tuple[int, ...]) -> Float[Array, "b h2 w2 1"]:
    """The input's `known` at the size of a stage, each position asking the pixel nearest to its centre."""
    step = known.shape[1] // shape[1]
    return known[:, step // 2 :: step, step // 2 :: step]


class MAI:
    """The method: a generator and a discriminator that play against each other."""

    players = ("generator", "discriminator")

    def __init__(self, config: config_lib.Config, phase: str = "train") -> None:
        self.config = config
        self.phase = config.phases[phase]
        self.depth = config.image_size.bit_length() - 1  # 8 levels at 256: the innermost map is one pixel
        self.generator = Generator(config.generator, self.depth)
        self.discriminator = PatchDiscriminator(config.discriminator.width, config.discriminator.leaky_slope)
        self.vgg16 = vgg16.VGG16Features(config.vgg16.width)

    @cached_property
    def vgg16_params(self) -> dict[str, Any]:
        """Weights of the feature extractor: read for training only, never trained, not part of a checkpoint."""
        return vgg16.from_config(self.config.vgg16)

    def prepare(self) -> None:
        _ = self.vgg16_params

    def init(self, key: Array, batch: Batch) -> tuple[ByPlayer, ByPlayer]:
        generator_key, discriminator_key = jax.random.split(key)
        generator = self.generator.init(generator_key, Masked(*batch), train=False)
        discriminator = self.discriminator.init(discriminator_key, batch.image, update_stats=False)
        both = {"generator": generator, "discriminator": discriminator}
        return tuple({name: v[collection] for name, v in both.items()} for collection in ("params", "batch_stats"))

    def loss(
        self, player: str, params: ByPlayer, stats: ByPlayer, batch: Batch, outputs: dict[str, Array], key: Array
    ) -> tuple[Float[Array, ""], Aux]:
        del key  # nothing is drawn
        if player == "generator":
            return self._generator_loss(params, stats, batch)
        return self._discriminator_loss(params, stats, batch, outputs["raw"])

    def _generator_loss(self, params: ByPlayer, stats: ByPlayer, batch: Batch) -> tuple[Float[Array, ""], Aux]:
        (raw, _), updated = self.generator.apply(
            {"params": params["generator"], "batch_stats": stats["generator"]},
            Masked(*batch),
            train=True,
            freeze_encoder_norm=self.phase.freeze_encoder_norm,
            mutable=["batch_stats"],
        )
        image = complete(raw, batch)
        predicted, truth = self._features(raw), self._features(batch.image)
        terms = {
            "hole": losses.hole_l1(raw, batch),
            "valid": losses.valid_l1(raw, batch),
            "perceptual": losses.perceptual(predicted, truth),
            "style": losses.style(predicted, truth),
            "adversarial": losses.adversarial_generator(self._judge(params, stats, raw)),
            "total_variation": losses.total_variation(image, batch),
        }
        total = sum(getattr(self.config.losses, name) * term for name, term in terms.items())  # Eq. 22
        return total, Aux({"raw": raw}, updated["batch_stats"], terms)

    def _discriminator_loss(
        self, params: ByPlayer, stats: ByPlayer, batch: Batch, raw: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, ""], Aux]:
        # One call for both halves, so that the power iteration of the spectral norm takes one step per update.
        logits, updated = self.discriminator.apply(
            {"params": params["discriminator"], "batch_stats": stats["discriminator"]},
            jnp.concatenate([batch.image, raw]),
            update_stats=True,
            mutable=["batch_stats"],
        )
        real, fake = jnp.split(logits, 2)
        loss = losses.adversarial_discriminator(real, fake)
        return loss, Aux({}, updated["batch_stats"], {"adversarial": loss})

    def _judge(self, params: ByPlayer, stats: ByPlayer, raw: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 1"]:
        variables = {"params": params["discriminator"], "batch_stats": stats["discriminator"]}
        return self.discriminator.apply(variables, raw, update_stats=False)

    def _features(self, images: Float[Array, "b h w 3"]) -> tuple[Array, ...]:
        return self.vgg16.apply({"params": self.vgg16_params}, images)

    def paint(self, params: ByPlayer, stats: ByPlayer, batch: Batch, key: Array) -> Completion:
        """Pads to a multiple of 2^depth with hole, which partial convolution ignores, and cuts the result back."""
        del key  # nothing is drawn
        _, h, w, _ = batch.image.shape
        padded = pad_with_hole(batch, 2**self.depth)
        variables = {"params": params["generator"], "batch_stats": stats["generator"]}
        raw, attended = self.generator.apply(variables, Masked(*padded), train=False)
        raw = raw[:, :h, :w]
        return Completion(raw, complete(raw, batch), attended)
