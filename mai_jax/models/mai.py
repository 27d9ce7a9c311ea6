"""The Multistage Attention Network: generator of Tables 1-2, discriminator of Table 3, overall loss of Eq. 22."""

import jax
import optax
from jaxtyping import Array, Float, PyTree

from mai_jax import losses
from mai_jax.batch import Batch, Masked, complete
from mai_jax.config import Config
from mai_jax.models.base import Aux, Variables, adam, discriminate_both, network_variables, weighted_sum
from mai_jax.models.unet import UNet, UNetModel, downsample_valid
from mai_jax.nn.attention import PixelwiseAttention
from mai_jax.nn.patch_discriminator import PatchDiscriminator

STAGES = {4: 1, 3: 2}  # decoder level -> attention stage after it; maps of 1/8 and 1/4 of the image at any depth


class Generator(UNet):
    """Tables 1 and 2: the U-Net with pixelwise attention after Decode_4 and Decode_3 (32x32 and 64x64 at 256 px)."""

    def refine(self, level: int, decoded: Masked, image: Masked) -> tuple[Masked, dict[str, Masked]]:
        if STAGES.get(level) not in self.config.attention_stages:
            return decoded, {}
        c, name = self.config, f"attention_{STAGES[level]}"
        query = Masked(decoded.x, downsample_valid(image.valid, decoded.x.shape))
        attention = PixelwiseAttention(
            c.attention_scale, c.attention_window, c.attention, c.se_reduction, c.merge, name=name)
        return decoded._replace(x=attention(query)), {name: query}


class MAI(UNetModel):
    """The method of the paper: a generator and a discriminator."""

    networks = ("generator", "discriminator")
    generator_class = Generator

    def __init__(self, config: Config, phase: str = "main") -> None:
        super().__init__(config, phase)
        self.discriminator = PatchDiscriminator(
            config.discriminator.width, config.discriminator.leaky_slope, config.dtype)

    def make_optimizers(self, schedule: optax.Schedule) -> dict[str, optax.GradientTransformation]:
        return {name: adam(getattr(self.config, name).adam, schedule) for name in self.networks}

    def init(self, rng: Array, batch: Batch) -> Variables:
        generator_rng, discriminator_rng = jax.random.split(rng)
        variables = {
            "generator": self.generator.init(generator_rng, Masked(*batch), train=False),
            "discriminator": self.discriminator.init(discriminator_rng, batch.image, update_stats=False),
        }
        return {collection: {name: own[collection] for name, own in variables.items()}
                for collection in ("params", "batch_stats")}  # fmt: skip

    def loss(
        self, network: str, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch,
        outputs: dict[str, Array], rng: Array,
    ) -> tuple[Float[Array, ""], Aux]:  # fmt: skip
        del rng  # neither loss is random
        if network == "generator":
            return self._generator_loss(params, batch_stats, batch)
        return self._discriminator_loss(params, batch_stats, batch, outputs["raw"])

    def _generator_loss(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch
    ) -> tuple[Float[Array, ""], Aux]:
        raw, new_batch_stats = self.generate(params, batch_stats, batch)
        image = complete(raw, batch)
        terms = {
            "hole": losses.hole_l1(raw, batch),
            "valid": losses.valid_l1(raw, batch),
            **self.feature_terms([raw], batch.image),
            "adversarial": losses.adversarial_generator(self._discriminate(params, batch_stats, raw)),
            "total_variation": losses.total_variation(image, batch),
        }
        return weighted_sum(terms, self.config.losses), Aux({"raw": raw}, new_batch_stats, terms)  # Eq. 22

    def _discriminator_loss(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch, raw: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, ""], Aux]:
        variables = network_variables("discriminator", params, batch_stats)
        real, fake, new_batch_stats = discriminate_both(self.discriminator, variables, batch.image, raw)
        loss = losses.adversarial_discriminator(real, fake)
        return loss, Aux({}, new_batch_stats, {"adversarial": loss})

    def _discriminate(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], images: Float[Array, "b h w 3"]
    ) -> Float[Array, "b h2 w2 1"]:
        variables = network_variables("discriminator", params, batch_stats)
        return self.discriminator.apply(variables, images, update_stats=False)  # type: ignore[return-value]
