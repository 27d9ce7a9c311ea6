"""The Multistage Attention Network: generator of Tables 1-2, discriminator of Table 3, overall loss of Eq. 22."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax import config as config_lib
from mai_jax import losses
from mai_jax.config import Adam
from mai_jax.models.base import Aux, ByPlayer
from mai_jax.models.pconv_unet import UNet, UNetMethod, shrink_known
from mai_jax.nn.attention import PixelwiseAttention
from mai_jax.nn.patch_discriminator import PatchDiscriminator
from mai_jax.types import Batch, Masked, complete

STAGES = {4: 1, 3: 2}  # decoder level: attention stage behind it; maps of 1/8 and 1/4 of the image, at any depth


class Generator(UNet):
    """Tables 1 and 2: the U-Net with pixelwise attention after Decode_4 and Decode_3 (32x32 and 64x64 at 256)."""

    def refine(self, level: int, decoded: Masked, image: Masked) -> tuple[Masked, dict[str, Masked]]:
        if STAGES.get(level) not in self.config.attention_stages:
            return decoded, {}
        c, name = self.config, f"attention_{STAGES[level]}"
        asked = Masked(decoded.x, shrink_known(image.known, decoded.x.shape))
        attention = PixelwiseAttention(c.attention_scale, c.attention_window, c.attention, c.squeeze, name=name)
        return decoded._replace(x=attention(asked)), {name: asked}


class MAI(UNetMethod):
    """The method: a generator and a discriminator that play against each other."""

    players = ("generator", "discriminator")
    network = Generator

    def __init__(self, config: config_lib.Config, phase: str = "train") -> None:
        super().__init__(config, phase)
        self.discriminator = PatchDiscriminator(
            config.discriminator.width, config.discriminator.leaky_slope, config.dtype)

    @property
    def adam(self) -> dict[str, Adam]:
        return {player: Adam() for player in self.players}

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
        raw, new_stats = self.generate(params, stats, batch)
        image = complete(raw, batch)
        terms = {
            "hole": losses.hole_l1(raw, batch),
            "valid": losses.valid_l1(raw, batch),
            **self.feature_terms([raw], batch.image),
            "adversarial": losses.adversarial_generator(self._judge(params, stats, raw)),
            "total_variation": losses.total_variation(image, batch),
        }
        total = sum(getattr(self.config.losses, name) * term for name, term in terms.items())  # Eq. 22
        return total, Aux({"raw": raw}, new_stats, terms)

    def _discriminator_loss(
        self, params: ByPlayer, stats: ByPlayer, batch: Batch, raw: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, ""], Aux]:
        # One call for both halves, so that the power iteration of the spectral norm takes one step per update. Truth
        # and prediction alternate, for one half behind the other would send images from device to device.
        logits, updated = self.discriminator.apply(
            {"params": params["discriminator"], "batch_stats": stats["discriminator"]},
            jnp.stack([batch.image, raw], axis=1).reshape(-1, *raw.shape[1:]),
            update_stats=True,
            mutable=["batch_stats"],
        )
        real, fake = jnp.moveaxis(logits.reshape(-1, 2, *logits.shape[1:]), 1, 0)
        loss = losses.adversarial_discriminator(real, fake)
        return loss, Aux({}, updated["batch_stats"], {"adversarial": loss})

    def _judge(self, params: ByPlayer, stats: ByPlayer, raw: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 1"]:
        variables = {"params": params["discriminator"], "batch_stats": stats["discriminator"]}
        return self.discriminator.apply(variables, raw, update_stats=False)
