"""EdgeConnect [21], the rival that draws the missing edges first and then paints between them: two pairs of players.

While it trains, the two pairs share nothing: the edge generator learns to go on with the edges around a hole, and the
generator paints by the true edges of the whole photograph. While it is finetuned, the generator paints by the edges
that the edge generator, which no longer moves, drew in the hole, and so it does ever after.
"""

from functools import cached_property
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from mai_jax import config as config_lib
from mai_jax import losses
from mai_jax.config import Adam
from mai_jax.models.base import Aux, ByPlayer, pad_with_hole, rematerialised
from mai_jax.nn import vgg19
from mai_jax.nn.canny import canny, to_grey
from mai_jax.nn.patch_discriminator import PatchDiscriminator
from mai_jax.nn.precision import narrow, wide
from mai_jax.types import Batch, Completion, complete

NORMAL = nn.initializers.normal(0.02)
BLOCKS = 8
SHRINK = 4  # the map of the residual blocks is so many times smaller than the image
PERCEPTUAL = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
STYLE = ("conv2_2", "conv3_4", "conv4_4", "conv5_2")

Map = Float[Array, "b _ _ _"]
Edges = Float[Array, "b h w 1"]


class Generator(nn.Module):
    """An encoder, residual blocks of dilated convolutions, a decoder: the shape of both generators.

    What it returns is linear. If `spectral`, every convolution but the last is spectrally normalised; each call then
    takes one step of power iteration, which `update_stats` keeps (collection "batch_stats").
    """

    channels: int  # of what it draws
    width: int
    spectral: bool
    dtype: str = "float32"  # of the activations; the result is float32

    @nn.compact
    def __call__(self, x: Map, *, update_stats: bool) -> Map:
        def layer(conv: nn.Module, x: Map) -> Map:
            if self.spectral:
                x = nn.SpectralNorm(conv, name=f"{conv.name}_norm")(x, update_stats=update_stats)
            else:
                x = conv(x)
            return nn.InstanceNorm(epsilon=1e-5, use_bias=False, use_scale=False, use_fast_variance=False)(
                checkpoint_name(x, "conv"))

        c, settings = self.width, {"dtype": narrow(x, self.dtype).dtype, "kernel_init": NORMAL}
        halve = {"kernel_size": (4, 4), "strides": 2, "padding": 1, **settings}
        double = {"kernel_size": (4, 4), "strides": (2, 2), "padding": (2, 2), **settings}  # 4 - 1 - PyTorch's padding
        wide_window = {"kernel_size": (7, 7), "padding": 0, **settings}
        block = {"features": 4 * c, "kernel_size": (3, 3), "padding": 0, "use_bias": not self.spectral, **settings}

        x = nn.relu(layer(nn.Conv(c, **wide_window, name="encode_1"), _reflect(x, 3)))
        x = nn.relu(layer(nn.Conv(2 * c, **halve, name="encode_2"), x))
        x = nn.relu(layer(nn.Conv(4 * c, **halve, name="encode_3"), x))
        for i in range(1, BLOCKS + 1):
            inner = nn.relu(layer(nn.Conv(**block, kernel_dilation=2, name=f"block_{i}_dilated"), _reflect(x, 2)))
            x = x + layer(nn.Conv(**block, name=f"block_{i}"), _reflect(inner, 1))
        x = nn.relu(layer(nn.ConvTranspose(2 * c, **double, name="decode_1"), x))
        x = nn.relu(layer(nn.ConvTranspose(c, **double, name="decode_2"), x))
        return wide(nn.Conv(self.channels, **wide_window, name="decode_3")(_reflect(x, 3)))


def _reflect(x: Map, by: int) -> Map:
    return jnp.pad(x, ((0, 0), (by, by), (by, by), (0, 0)), mode="reflect")


class EdgeConnect:
    """The method. Where edges are known they stay, also when painting: the generator was finetuned that way."""

    def __init__(self, config: config_lib.Config, phase: str = "train") -> None:
        self.config = config
        self.by_true_edges = phase == "train"
        pair = ("generator", "discriminator")
        self.players = ("edge_generator", "edge_discriminator", *pair) if self.by_true_edges else pair
        self.edge_generator = Generator(1, config.generator.width, spectral=True, dtype=config.dtype)
        self.generator = Generator(3, config.generator.width, spectral=False, dtype=config.dtype)
        self.discriminator = PatchDiscriminator(
            config.discriminator.width, config.discriminator.leaky_slope, config.dtype, use_bias=False,
            kernel_init=NORMAL)
        self.vgg19 = vgg19.VGG19Rectified(config.vgg16.width, config.dtype)

    @property
    def adam(self) -> dict[str, Adam]:
        """1e-4 for generators, a tenth of it for discriminators, where the phase's learning rate is 2e-4."""
        generator, discriminator = Adam(0.5, 0.0, 0.9), Adam(0.05, 0.0, 0.9)
        return {"edge_generator": generator, "edge_discriminator": discriminator,
                "generator": generator, "discriminator": discriminator}  # fmt: skip

    @cached_property
    def vgg19_params(self) -> dict[str, Any]:
        """Weights of the feature extractor: read for training only, never trained, not part of a checkpoint."""
        return vgg19.from_config(self.config.vgg16)

    def prepare(self) -> None:
        _ = self.vgg19_params

    def init(self, key: Array, batch: Batch) -> tuple[ByPlayer, ByPlayer]:
        grey, known = to_grey(batch.image), batch.known
        networks = {
            "edge_generator": (self.edge_generator, _to_draw_from(grey, grey, known)),
            "edge_discriminator": (self.discriminator, _together(grey, grey)),
            "generator": (self.generator, _to_paint_from(batch, grey)),
            "discriminator": (self.discriminator, batch.image),
        }
        keys = jax.random.split(key, len(networks))
        made = {player: network.init(k, x, update_stats=True)
                for k, (player, (network, x)) in zip(keys, networks.items(), strict=True)}  # fmt: skip
        stats = {player: variables["batch_stats"] if player != "generator" else {}
                 for player, variables in made.items()}  # fmt: skip
        return {player: _as_drawn(made[player]["params"], stats[player]) for player in made}, stats

    def loss(
        self, player: str, params: ByPlayer, stats: ByPlayer, batch: Batch, outputs: dict[str, Array], key: Array
    ) -> tuple[Float[Array, ""], Aux]:
        del key  # nothing is drawn by lot
        if player == "edge_generator":
            return self._edge_generator_loss(params, stats, batch)
        if player == "generator":
            return self._generator_loss(params, stats, batch, outputs)
        if player == "discriminator":
            return self._discriminator_loss(player, params, stats, batch.image, outputs["raw"])
        real, fake = (_together(to_grey(batch.image), outputs[name]) for name in ("edges", "drawn"))
        return self._discriminator_loss(player, params, stats, real, fake)

    def _edge_generator_loss(self, params: ByPlayer, stats: ByPlayer, batch: Batch) -> tuple[Float[Array, ""], Aux]:
        grey = to_grey(batch.image)
        edges = canny(grey, self.config.edge_connect.sigma)
        drawn, new_stats = self._draw_in_training(params, stats, _to_draw_from(grey, edges, batch.known))
        truth, judged = (self._judge("edge_discriminator", params, stats, _together(grey, e)) for e in (edges, drawn))
        terms = {
            "adversarial": losses.adversarial_generator(judged[-1]),
            "feature_matching": losses.perceptual(judged, truth),
        }
        c = self.config.edge_connect
        total = c.edge_adversarial * terms["adversarial"] + c.feature_matching * terms["feature_matching"]
        return total, Aux({"edges": edges, "drawn": drawn}, new_stats, terms)

    def _generator_loss(
        self, params: ByPlayer, stats: ByPlayer, batch: Batch, outputs: dict[str, Array]
    ) -> tuple[Float[Array, ""], Aux]:
        edges = outputs["edges"] if self.by_true_edges else self._continued_edges(
            params, stats, batch, canny(to_grey(batch.image), self.config.edge_connect.sigma))
        raw = rematerialised(self._paint, enabled=self.config.remat)(params["generator"], batch, edges)
        hole = 1 - batch.known
        predicted, truth = self._features(raw), self._features(batch.image)
        predicted_hole, true_hole = self._features(raw * hole), self._features(batch.image * hole)
        share = jnp.maximum(hole.mean(), 1 / hole.size)  # of the batch; where nothing is hole, one pixel's
        terms = {
            "l1": jnp.mean(jnp.abs(raw - batch.image)) / share,
            "adversarial": losses.adversarial_generator(self._judge("discriminator", params, stats, raw)[-1]),
            "perceptual": losses.perceptual(*([f[name] for name in PERCEPTUAL] for f in (predicted, truth))),
            "style": losses.style(*([f[name] for name in STYLE] for f in (predicted_hole, true_hole))),
        }
        total = sum(getattr(self.config.edge_connect, name) * term for name, term in terms.items())
        return total, Aux({"raw": raw}, stats["generator"], terms)

    def _discriminator_loss(
        self, player: str, params: ByPlayer, stats: ByPlayer, real: Map, fake: Map
    ) -> tuple[Float[Array, ""], Aux]:
        # In one call, for one step of power iteration; alternating, so that no image changes its device.
        both = jnp.stack([real, fake], axis=1).reshape(-1, *real.shape[1:])
        variables = {"params": params[player], "batch_stats": stats[player]}
        logits, updated = self.discriminator.apply(variables, both, update_stats=True, mutable=["batch_stats"])
        real, fake = jnp.moveaxis(logits.reshape(-1, 2, *logits.shape[1:]), 1, 0)
        loss = losses.adversarial_discriminator(real, fake) / 2
        return loss, Aux({}, updated["batch_stats"], {"adversarial": loss})

    def _judge(self, player: str, params: ByPlayer, stats: ByPlayer, images: Map) -> tuple[Map, ...]:
        variables = {"params": params[player], "batch_stats": stats[player]}
        return self.discriminator.apply(variables, images, update_stats=False, method="maps")

    def _features(self, images: Float[Array, "b h w 3"]) -> dict[str, Map]:
        return self.vgg19.apply({"params": self.vgg19_params}, images)

    def _draw_in_training(self, params: ByPlayer, stats: ByPlayer, seen: Map) -> tuple[Edges, Any]:
        def forward(own: Any) -> tuple[Edges, Any]:
            variables = {"params": own, "batch_stats": stats["edge_generator"]}
            return self.edge_generator.apply(variables, seen, update_stats=True, mutable=["batch_stats"])

        logits, updated = rematerialised(forward, enabled=self.config.remat)(params["edge_generator"])
        return nn.sigmoid(logits), updated["batch_stats"]

    def _continued_edges(self, params: ByPlayer, stats: ByPlayer, batch: Batch, edges: Edges) -> Edges:
        """`edges` where pixels are given; in the hole, in (0, 1), what the edge generator draws."""
        variables = {"params": params["edge_generator"], "batch_stats": stats["edge_generator"]}
        seen = _to_draw_from(to_grey(batch.image), edges, batch.known)
        drawn = nn.sigmoid(self.edge_generator.apply(variables, seen, update_stats=False))
        return jnp.where(batch.known > 0, edges, drawn)

    def _paint(self, params: Any, batch: Batch, edges: Edges) -> Float[Array, "b h w 3"]:
        linear = self.generator.apply({"params": params}, _to_paint_from(batch, edges), update_stats=False)
        return (jnp.tanh(linear) + 1) / 2

    def paint(self, params: ByPlayer, stats: ByPlayer, batch: Batch, key: Array) -> Completion:
        """Seeks edges among the given pixels, goes on with them in the hole, and paints by both: `aux["edges"]`."""
        del key  # nothing is drawn by lot
        _, h, w, _ = batch.image.shape
        padded = pad_with_hole(batch, SHRINK)
        found = canny(to_grey(padded.image), self.config.edge_connect.sigma, padded.known)
        edges = self._continued_edges(params, stats, padded, found)
        raw = self._paint(params["generator"], padded, edges)[:, :h, :w]
        return Completion(raw, complete(raw, batch), {"edges": edges[:, :h, :w]})


def _as_drawn(params: Any, stats: Any) -> Any:
    """Fresh parameters as their initialiser drew them: Flax hands kernels out that are already divided by sigma."""
    undivided = dict(params)
    for name, norm in stats.items():
        layer = name.removesuffix("_norm")
        sigma = norm[f"{layer}/kernel/sigma"]
        undivided[layer] = {**params[layer], "kernel": params[layer]["kernel"] * sigma}
    return undivided


# `where`, not products, in both: whatever the hole holds, NaN included, must not get through.


def _to_draw_from(grey: Edges, edges: Edges, known: Edges) -> Float[Array, "b h w 3"]:
    """What the edge generator sees: the grey image, white in the hole, the edges around it, and the hole."""
    given = known > 0
    return _together(jnp.where(given, grey, 1), jnp.where(given, edges, 0), 1 - known)


def _to_paint_from(batch: Batch, edges: Edges) -> Float[Array, "b h w 4"]:
    """What the generator sees: the image, white in the hole, and edges everywhere."""
    return _together(jnp.where(batch.known > 0, batch.image, 1), edges)


def _together(*maps: Map) -> Map:
    return jnp.concatenate(maps, axis=-1)
