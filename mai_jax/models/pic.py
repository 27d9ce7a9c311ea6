"""Pluralistic image completion [31]: many fillings of one hole, each from a draw of what may be hidden in it.

An encoder tells how the hidden features z are distributed: given the hole's content (posterior, training only) and
given the visible pixels (prior). A decoder paints from a draw of either. Deviations from the original: the spectral
norm's power iteration is kept only in a player's own turn, not in every forward pass, so that painting changes nothing
and is repeatable; the discriminator's last layer pads with zeros where the image is under 96 px, for nothing would be
left of it.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax import config as config_lib
from mai_jax.config import Adam
from mai_jax.models.base import Aux, ByPlayer, pad_with_hole, rematerialised
from mai_jax.models.pic_networks import (
    SCALES,
    SHRINK,
    Discriminator,
    Generator,
    Images,
    Normal,
    Pyramid,
    interleave,
    part,
)
from mai_jax.nn.residual_blocks import first_values
from mai_jax.nn.resize import resize
from mai_jax.types import Batch, Completion, complete


class PIC:
    """The rival [31]: one player encodes and paints, the other judges both paths with a network each."""

    players = ("generator", "discriminator")

    def __init__(self, config: config_lib.Config, phase: str = "train") -> None:
        del phase  # all phases are alike
        self.config = config
        self.generator = Generator(config.pic.width, config.dtype)
        self.discriminator = Discriminator(config.pic.width, config.dtype)

    @property
    def adam(self) -> dict[str, Adam]:
        return {player: Adam(rate=0.5, b1=0.0) for player in self.players}

    def prepare(self) -> None:
        """Training needs nothing else."""

    def init(self, key: Array, batch: Batch) -> tuple[ByPlayer, ByPlayer]:
        keys = jax.random.split(key, 3)

        def shapes() -> tuple[Any, Any]:
            generator = self.generator.init(key, batch, key, update_stats=False, method="both_paths")
            return generator, self.discriminator.init(key, batch.image, update_stats=False)

        generator, judge = jax.eval_shape(shapes)
        generator, *judges = (first_values(k, tree) for k, tree in zip(keys, (generator, judge, judge), strict=True))
        judges = dict(zip(("reconstructive", "generative"), judges, strict=True))
        return tuple({"generator": generator[collection],
                      "discriminator": {name: judge[collection] for name, judge in judges.items()}}
                     for collection in ("params", "batch_stats"))

    def loss(
        self, player: str, params: ByPlayer, stats: ByPlayer, batch: Batch, outputs: dict[str, Array], key: Array
    ) -> tuple[Float[Array, ""], Aux]:
        if player == "generator":
            return self._generator_loss(params, stats, batch, key)
        return self._discriminator_loss(params, stats, batch, outputs)

    def _generator_loss(
        self, params: ByPlayer, stats: ByPlayer, batch: Batch, key: Array
    ) -> tuple[Float[Array, ""], Aux]:
        def forward(own: Any) -> Any:
            return self.generator.apply({"params": own, "batch_stats": stats["generator"]}, batch, key,
                                        update_stats=True, method="both_paths", mutable=["batch_stats"])

        (reconstructed, generated, code), updated = rematerialised(forward, enabled=self.config.remat)(
            params["generator"])
        truth, known = (scale_pyramid(x) for x in (2 * batch.image - 1, batch.known))
        judged = {name: self._judge(name, params, stats, images) for name, images in (
            ("generative", generated[-1]), ("reconstructive", interleave(reconstructed[-1], truth[-1])))}
        terms = {
            "kl_posterior": kl(reference(batch, code.posterior), code.posterior),
            "kl_prior": kl(jax.lax.stop_gradient(code.posterior), code.prior),
            "reconstructed": sum(_l1(r, t) for r, t in zip(reconstructed, truth, strict=True)),
            # The generative path may paint another thing than the truth: it is held to the visible pixels only.
            "generated": sum(_l1(g * k, t * k) for g, k, t in zip(generated, known, truth, strict=True)),
            "adversarial": jnp.mean(jnp.square(judged["generative"] - 1)),
            "matching": jnp.mean(jnp.square(jnp.subtract(*part(judged["reconstructive"])))),
        }
        c = self.config.pic
        total = (c.kl * (terms["kl_posterior"] + terms["kl_prior"])
                 + c.l1 * (terms["reconstructed"] + terms["generated"])
                 + c.adversarial * (terms["adversarial"] + terms["matching"]))
        outputs = {"reconstructive": reconstructed[-1], "generative": generated[-1]}
        return total, Aux(outputs, updated["batch_stats"], terms)

    def _discriminator_loss(
        self, params: ByPlayer, stats: ByPlayer, batch: Batch, painted: dict[str, Array]
    ) -> tuple[Float[Array, ""], Aux]:
        terms, new_stats = {}, {}
        for name, images in painted.items():
            variables = {"params": params["discriminator"][name], "batch_stats": stats["discriminator"][name]}
            verdicts, updated = self.discriminator.apply(
                variables, interleave(2 * batch.image - 1, images), update_stats=True, mutable=["batch_stats"])
            real, fake = part(verdicts)
            terms[name] = (jnp.mean(jnp.square(real - 1)) + jnp.mean(jnp.square(fake))) / 2
            new_stats[name] = updated["batch_stats"]
        return sum(terms.values()), Aux({}, new_stats, terms)

    def _judge(self, name: str, params: ByPlayer, stats: ByPlayer, images: Images) -> Float[Array, "b h2 w2 1"]:
        variables = {"params": params["discriminator"][name], "batch_stats": stats["discriminator"][name]}
        return self.discriminator.apply(variables, images, update_stats=False)

    def paint(self, params: ByPlayer, stats: ByPlayer, batch: Batch, key: Array) -> Completion:
        """One draw from the prior, the same for the same key."""
        raw = self._painter(params, stats, batch)(key)
        return Completion(raw, complete(raw, batch), {})

    def samples(self, params: ByPlayer, stats: ByPlayer, batch: Batch, key: Array, n: int) -> Float[Array, "n b h w 3"]:
        """`n` draws: what is painted everywhere, not completed. Encodes once, then decodes draw by draw."""
        return jax.lax.map(self._painter(params, stats, batch), jax.random.split(key, n))

    def _painter(self, params: ByPlayer, stats: ByPlayer, batch: Batch) -> Callable[[Array], Float[Array, "b h w 3"]]:
        """Encodes the batch and gives what paints it from a key."""
        _, h, w, _ = batch.image.shape
        padded = pad_with_hole(batch, SHRINK)
        variables = {"params": params["generator"], "batch_stats": stats["generator"]}
        code = self.generator.apply(variables, padded, both=False, update_stats=False, method="encode")

        def paint(key: Array) -> Float[Array, "b h w 3"]:
            z = code.prior.draw(key)
            images = self.generator.apply(variables, z, code, padded, update_stats=False, method="decode")
            return (images[-1][:, :h, :w] + 1) / 2

        return paint


def kl(p: Normal, q: Normal) -> Float[Array, ""]:
    """KL(p || q), averaged over the entries."""
    scaled = jnp.square((p.mean - q.mean) / q.std) + jnp.square(p.std / q.std)
    return jnp.mean((scaled - 1) / 2 - jnp.log(p.std / q.std))


def reference(batch: Batch, like: Normal) -> Normal:
    """What the posterior is pulled towards: mean 0, and the narrower, the more of the image is given."""
    given = batch.known.mean(axis=(1, 2, 3), keepdims=True)
    std = nn.sigmoid(-8 * (given - 1e-5 - 0.8))
    return Normal(jnp.zeros_like(like.mean), jnp.broadcast_to(std, like.mean.shape).astype(like.mean.dtype))


def scale_pyramid(images: Float[Array, "b h w c"]) -> Pyramid:
    """The images at the sizes at which the generator paints."""
    _, h, w, _ = images.shape
    return [resize(images, (h // s, w // s)) for s in SCALES]


def _l1(a: Float[Array, "*shape"], b: Float[Array, "*shape"]) -> Float[Array, ""]:
    return jnp.mean(jnp.abs(a - b))
