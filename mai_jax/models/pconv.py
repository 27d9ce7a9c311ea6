"""PConv [20]: the U-Net of partial convolutions without attention and without a discriminator."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from mai_jax import losses
from mai_jax.batch import Batch, Completion, Masked, complete
from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.models.base import Aux, Variables, adam, pad_with_hole, weighted_sum
from mai_jax.models.unet import UNetModel
from mai_jax.nn.vgg import MEAN, STD

PUBLIC_DEPTH = 7

Images = Float[Array, "b h w 3"]


class PConv(UNetModel):
    """The baseline [20]; feature losses compare the raw and the completed prediction."""

    networks = ("generator",)

    def make_optimizers(self, schedule: optax.Schedule) -> dict[str, optax.GradientTransformation]:
        return {"generator": adam(self.config.generator.adam, schedule)}

    def init(self, rng: Array, batch: Batch) -> Variables:
        variables = self.generator.init(rng, Masked(*batch), train=False)
        return {collection: {"generator": variables[collection]} for collection in ("params", "batch_stats")}

    def loss(
        self, network: str, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch,
        outputs: dict[str, Array], rng: Array,
    ) -> tuple[Float[Array, ""], Aux]:  # fmt: skip
        del network, outputs, rng  # one network, and its loss is not random
        raw, new_batch_stats = self.generate(params, batch_stats, batch)
        image = complete(raw, batch)
        terms = {
            "hole": losses.hole_l1(raw, batch),
            "valid": losses.valid_l1(raw, batch),
            **self.feature_terms([raw, image], batch.image),
            "total_variation": losses.total_variation(image, batch),
        }
        return weighted_sum(terms, self.config.losses), Aux({"raw": raw}, new_batch_stats, terms)


class PublicPConv(PConv):
    """PConv as its public PyTorch implementation defines it, for the weights that `convert.pconv` converts.

    Seven levels at any image size, and images normalized with ImageNet's mean and standard deviation, so that a hole
    has the mean colour. Other weights of `PConv` cannot express that: a mean that is subtracted from valid pixels only
    is not a bias where a window is partly valid.
    """

    def __init__(self, config: Config, phase: str = "main") -> None:
        super().__init__(config, phase)
        if config.image_size < 2**PUBLIC_DEPTH:
            raise InputError(f"config.image_size={config.image_size}: must be {2**PUBLIC_DEPTH} or more for "
                             f"{PUBLIC_DEPTH} levels")
        self.depth = PUBLIC_DEPTH
        self.generator = self.generator_class(config.generator, PUBLIC_DEPTH, config.dtype)

    def init(self, rng: Array, batch: Batch) -> Variables:
        return super().init(rng, pad_with_hole(batch, 2**PUBLIC_DEPTH))

    def generate(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch
    ) -> tuple[Images, PyTree]:
        raw, new_batch_stats = super().generate(params, batch_stats, _normalized(batch))
        return _denormalized(raw), new_batch_stats

    def predict(self, variables: Variables, batch: Batch, rng: Array) -> Completion:
        completion = super().predict(variables, _normalized(batch), rng)
        raw = _denormalized(completion.raw)
        return Completion(raw, complete(raw, batch), completion.aux)


def _normalized(batch: Batch) -> Batch:
    image = batch.image
    return batch._replace(image=(image - jnp.array(MEAN, image.dtype)) / jnp.array(STD, image.dtype))


def _denormalized(images: Images) -> Images:
    return images * jnp.array(STD, images.dtype) + jnp.array(MEAN, images.dtype)
