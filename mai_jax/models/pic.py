"""Pluralistic image completion [31]: many completions of one hole, each from a sample of latent features.

An encoder predicts the distribution of the latent features z: given the hole's content (posterior, training only) and
given the valid pixels (prior). A decoder predicts the image from a sample of either. Deviations from the original:

- The generator is judged by the discriminators from before the step. In the original they are updated first, and the
  updated ones judge it. Here one step computes all gradients at the old parameters, for every method.
- The spectral norm's power iteration is stored only in the update of the network itself, not in every forward pass, so
  that prediction is repeatable.
- The discriminator's last layer pads with zeros below 96 px, where nothing would be left.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from mai_jax.batch import Batch, Completion, complete
from mai_jax.config import Config
from mai_jax.models.base import (
    Aux,
    Variables,
    adam,
    deinterleave,
    discriminate_both,
    interleave,
    network_variables,
    pad_with_hole,
    rematerialize,
)
from mai_jax.models.pic_networks import (
    DOWNSAMPLING,
    SCALES,
    Discriminator,
    Generator,
    Images,
    Normal,
    Pyramid,
    resize,
)
from mai_jax.nn.residual_blocks import init_values

PATHS = ("reconstructive", "generative")  # each has a discriminator; both are one network to the optimizer


class PIC:
    """The baseline [31]: one generator (encoder and decoder), and one discriminator per path."""

    networks = ("generator", "discriminator")

    def __init__(self, config: Config, phase: str = "main") -> None:
        del phase  # all phases are the same
        self.config = config
        self.generator = Generator(config.pic.width, config.dtype)
        self.discriminator = Discriminator(config.pic.width, config.dtype)

    def prepare(self) -> None:
        """Do nothing: training needs no other weights."""

    def make_optimizers(self, schedule: optax.Schedule) -> dict[str, optax.GradientTransformation]:
        return {network: adam(self.config.pic.adam, schedule) for network in self.networks}

    def init(self, rng: Array, batch: Batch) -> Variables:
        rngs = jax.random.split(rng, 3)

        def shapes() -> tuple[Any, Any]:
            generator = self.generator.init(rng, batch, rng, update_stats=False, method="both_paths")
            return generator, self.discriminator.init(rng, batch.image, update_stats=False)

        generator, discriminator = jax.eval_shape(shapes)
        trees = zip(rngs, (generator, discriminator, discriminator), strict=True)
        generator, *discriminators = (init_values(key, tree) for key, tree in trees)
        return {collection: {
            "generator": generator[collection],
            "discriminator": {path: own[collection] for path, own in zip(PATHS, discriminators, strict=True)},
        } for collection in ("params", "batch_stats")}  # fmt: skip

    def loss(
        self, network: str, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch,
        outputs: dict[str, Array], rng: Array,
    ) -> tuple[Float[Array, ""], Aux]:  # fmt: skip
        if network == "generator":
            return self._generator_loss(params, batch_stats, batch, rng)
        return self._discriminator_loss(params, batch_stats, batch, outputs)

    def _generator_loss(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch, rng: Array
    ) -> tuple[Float[Array, ""], Aux]:
        def forward(own: PyTree) -> Any:
            return self.generator.apply({"params": own, "batch_stats": batch_stats["generator"]}, batch, rng,
                                        update_stats=True, method="both_paths", mutable=["batch_stats"])

        (reconstructed, generated, code), updated = rematerialize(forward, enabled=self.config.remat)(
            params["generator"])
        truth, valid = (scale_pyramid(x) for x in (2 * batch.image - 1, batch.valid))
        scores = {path: self._discriminate(path, params, batch_stats, images) for path, images in (
            ("generative", generated[-1]), ("reconstructive", interleave(reconstructed[-1], truth[-1])))}
        terms: dict[str, Array] = {
            "kl_posterior": kl(reference(batch, code.posterior), code.posterior),
            "kl_prior": kl(jax.lax.stop_gradient(code.posterior), code.prior),
            "reconstructed": sum(  # type: ignore[dict-item]
                _l1(r, t) for r, t in zip(reconstructed, truth, strict=True)),
            # The generative path may differ from the truth in the hole: only its valid pixels are compared.
            "generated": sum(  # type: ignore[dict-item]
                _l1(g * v, t * v) for g, v, t in zip(generated, valid, truth, strict=True)),
            "adversarial": jnp.mean(jnp.square(scores["generative"] - 1)),
            "matching": jnp.mean(jnp.square(jnp.subtract(*deinterleave(scores["reconstructive"])))),
        }
        c = self.config.pic
        total = (c.kl * (terms["kl_posterior"] + terms["kl_prior"])
                 + c.l1 * (terms["reconstructed"] + terms["generated"])
                 + c.adversarial * (terms["adversarial"] + terms["matching"]))
        outputs = {"reconstructive": reconstructed[-1], "generative": generated[-1]}
        return total, Aux(outputs, updated["batch_stats"], terms)

    def _discriminator_loss(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch, predictions: dict[str, Array]
    ) -> tuple[Float[Array, ""], Aux]:
        terms, new_batch_stats = {}, {}
        for path, images in predictions.items():
            variables = network_variables(path, params["discriminator"], batch_stats["discriminator"])
            real, fake, new_batch_stats[path] = discriminate_both(
                self.discriminator, variables, 2 * batch.image - 1, images)
            terms[path] = (jnp.mean(jnp.square(real - 1)) + jnp.mean(jnp.square(fake))) / 2
        return sum(terms.values()), Aux({}, new_batch_stats, terms)  # type: ignore[return-value]

    def _discriminate(
        self, path: str, params: dict[str, PyTree], batch_stats: dict[str, PyTree], images: Images
    ) -> Float[Array, "b h2 w2 1"]:
        variables = network_variables(path, params["discriminator"], batch_stats["discriminator"])
        return self.discriminator.apply(variables, images, update_stats=False)  # type: ignore[return-value]

    def predict(self, variables: Variables, batch: Batch, rng: Array) -> Completion:
        """Return the completion of one sample from the prior; the same for the same `rng`."""
        raw = self._decoder(variables, batch)(rng)
        return Completion(raw, complete(raw, batch), {})

    def sample(self, variables: Variables, batch: Batch, rng: Array, num_samples: int) -> Float[Array, "n b h w 3"]:
        """Return `num_samples` raw predictions. Encodes once and decodes sample by sample."""
        return jax.lax.map(self._decoder(variables, batch), jax.random.split(rng, num_samples))

    def _decoder(self, variables: Variables, batch: Batch) -> Callable[[Array], Float[Array, "b h w 3"]]:
        """Encode the batch; return the function from a key to a raw prediction."""
        _, h, w, _ = batch.image.shape
        padded = pad_with_hole(batch, DOWNSAMPLING)
        own = network_variables("generator", **variables)
        code: Any = self.generator.apply(own, padded, both=False, update_stats=False, method="encode")

        def decode(rng: Array) -> Float[Array, "b h w 3"]:
            z = code.prior.sample(rng)
            images: Any = self.generator.apply(own, z, code, padded, update_stats=False, method="decode")
            return (images[-1][:, :h, :w] + 1) / 2

        return decode


def kl(p: Normal, q: Normal) -> Float[Array, ""]:
    """Return KL(p || q), averaged over the entries."""
    scaled = jnp.square((p.mean - q.mean) / q.std) + jnp.square(p.std / q.std)
    return jnp.mean((scaled - 1) / 2 - jnp.log(p.std / q.std))


def reference(batch: Batch, like: Normal) -> Normal:
    """Return the target of the posterior: mean 0, and narrower the more of the image is valid."""
    given = batch.valid.mean(axis=(1, 2, 3), keepdims=True)
    std = nn.sigmoid(-8 * (given - 1e-5 - 0.8))
    return Normal(jnp.zeros_like(like.mean), jnp.broadcast_to(std, like.mean.shape).astype(like.mean.dtype))


def scale_pyramid(images: Float[Array, "b h w c"]) -> Pyramid:
    """Return the images at the sizes of the generator's outputs."""
    _, h, w, _ = images.shape
    return [resize(images, (h // s, w // s)) for s in SCALES]


def _l1(a: Float[Array, "*shape"], b: Float[Array, "*shape"]) -> Float[Array, ""]:
    return jnp.mean(jnp.abs(a - b))
