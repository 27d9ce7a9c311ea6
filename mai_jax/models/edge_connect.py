"""EdgeConnect [21]: a pair of networks completes the edges in the hole, a second pair predicts the image from them.

In the main phase the pairs train independently: the edge generator learns to complete edges, and the generator is
given the true edges of the whole photograph. In the finetuning phase the edge generator is frozen and the generator
is given its edges in the hole and the true ones elsewhere. So is a prediction, unless `edge_connect.edges` is
"everywhere": then it takes the edge generator's edges for the whole image, as the test of the original does.
"""

from functools import cached_property
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, PyTree

from mai_jax import losses
from mai_jax.batch import Batch, Completion, complete
from mai_jax.config import Config
from mai_jax.models.base import (
    Aux,
    Variables,
    adam,
    discriminate_both,
    network_variables,
    pad_with_hole,
    rematerialize,
    weighted_sum,
)
from mai_jax.nn import vgg
from mai_jax.nn.canny import canny, to_grey
from mai_jax.nn.patch_discriminator import PatchDiscriminator
from mai_jax.nn.precision import to_compute_dtype, to_float32

NORMAL = nn.initializers.normal(0.02)
BLOCKS = 8
DOWNSAMPLING = 4  # of the residual blocks' maps
PERCEPTUAL = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
STYLE = ("conv2_2", "conv3_4", "conv4_4", "conv5_2")

Map = Float[Array, "b _ _ _"]
Edges = Float[Array, "b h w 1"]


class Generator(nn.Module):
    """An encoder, residual blocks of dilated convolutions and a decoder: the architecture of both generators.

    The output is linear. If `spectral`, every convolution but the last is spectrally normalized; each call then takes
    one step of power iteration, which `update_stats` stores (collection "batch_stats").
    """

    channels: int  # of the output
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

        c = self.width
        settings: dict[str, Any] = {"dtype": to_compute_dtype(x, self.dtype).dtype, "kernel_init": NORMAL}
        halve: dict[str, Any] = {"kernel_size": (4, 4), "strides": 2, "padding": 1, **settings}
        # Padding: 4 - 1 - PyTorch's padding.
        double: dict[str, Any] = {"kernel_size": (4, 4), "strides": (2, 2), "padding": (2, 2), **settings}
        wide_window: dict[str, Any] = {"kernel_size": (7, 7), "padding": 0, **settings}
        block: dict[str, Any] = {
            "features": 4 * c, "kernel_size": (3, 3), "padding": 0, "use_bias": not self.spectral, **settings}

        x = nn.relu(layer(nn.Conv(c, **wide_window, name="encode_1"), _reflect(x, 3)))
        x = nn.relu(layer(nn.Conv(2 * c, **halve, name="encode_2"), x))
        x = nn.relu(layer(nn.Conv(4 * c, **halve, name="encode_3"), x))
        for i in range(1, BLOCKS + 1):
            inner = nn.relu(layer(nn.Conv(**block, kernel_dilation=2, name=f"block_{i}_dilated"), _reflect(x, 2)))
            x = x + layer(nn.Conv(**block, name=f"block_{i}"), _reflect(inner, 1))
        x = nn.relu(layer(nn.ConvTranspose(2 * c, **double, name="decode_1"), x))
        x = nn.relu(layer(nn.ConvTranspose(c, **double, name="decode_2"), x))
        return to_float32(nn.Conv(self.channels, **wide_window, name="decode_3")(_reflect(x, 3)))


def _reflect(x: Map, by: int) -> Map:
    return jnp.pad(x, ((0, 0), (by, by), (by, by), (0, 0)), mode="reflect")


class EdgeConnect:
    """The method. By default a prediction keeps the edges of valid pixels: the generator was finetuned with them."""

    def __init__(self, config: Config, phase: str = "main") -> None:
        self.config = config
        self.uses_true_edges = phase == "main"
        pair = ("generator", "discriminator")
        self.networks = ("edge_generator", "edge_discriminator", *pair) if self.uses_true_edges else pair
        self.edge_generator = Generator(1, config.generator.width, spectral=True, dtype=config.dtype)
        self.generator = Generator(3, config.generator.width, spectral=False, dtype=config.dtype)
        self.discriminator = PatchDiscriminator(
            config.discriminator.width, config.discriminator.leaky_slope, config.dtype, use_bias=False,
            kernel_init=NORMAL)
        self.vgg19 = vgg.VGG19Rectified(config.vgg16.width, config.dtype)

    @cached_property
    def vgg19_params(self) -> dict[str, Any]:
        """Weights of the feature extractor: read for training only, never trained, not part of a checkpoint."""
        return vgg.from_config(vgg.VGG19, self.config.vgg16)

    def prepare(self) -> None:
        if self.needs_features:
            _ = self.vgg19_params

    @property
    def needs_features(self) -> bool:
        """Whether the perceptual or the style term has a weight."""
        return bool(self.config.edge_connect.perceptual or self.config.edge_connect.style)

    def make_optimizers(self, schedule: optax.Schedule) -> dict[str, optax.GradientTransformation]:
        c = self.config.edge_connect
        generator, discriminator = adam(c.generator_adam, schedule), adam(c.discriminator_adam, schedule)
        return {"edge_generator": generator, "edge_discriminator": discriminator,
                "generator": generator, "discriminator": discriminator}  # fmt: skip

    def init(self, rng: Array, batch: Batch) -> Variables:
        grey, valid = to_grey(batch.image), batch.valid
        modules = {
            "edge_generator": (self.edge_generator, _edge_generator_input(grey, grey, valid)),
            "edge_discriminator": (self.discriminator, _concatenate(grey, grey)),
            "generator": (self.generator, _generator_input(batch, grey)),
            "discriminator": (self.discriminator, batch.image),
        }
        rngs = jax.random.split(rng, len(modules))
        variables = {name: module.init(key, x, update_stats=True)
                     for key, (name, (module, x)) in zip(rngs, modules.items(), strict=True)}  # fmt: skip
        batch_stats = {name: own["batch_stats"] if name != "generator" else {} for name, own in variables.items()}
        params = {name: _undivided(own["params"], batch_stats[name]) for name, own in variables.items()}
        return {"params": params, "batch_stats": batch_stats}

    def loss(
        self, network: str, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch,
        outputs: dict[str, Array], rng: Array,
    ) -> tuple[Float[Array, ""], Aux]:  # fmt: skip
        del rng  # no loss is random
        if network == "edge_generator":
            return self._edge_generator_loss(params, batch_stats, batch)
        if network == "generator":
            return self._generator_loss(params, batch_stats, batch, outputs)
        if network == "discriminator":
            return self._discriminator_loss(network, params, batch_stats, batch.image, outputs["raw"])
        real, fake = (_concatenate(to_grey(batch.image), outputs[name]) for name in ("edges", "predicted_edges"))
        return self._discriminator_loss(network, params, batch_stats, real, fake)

    def _edge_generator_loss(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch
    ) -> tuple[Float[Array, ""], Aux]:
        grey = to_grey(batch.image)
        edges = canny(grey, self.config.edge_connect.sigma)
        x = _edge_generator_input(grey, edges, batch.valid)
        predicted, new_batch_stats = self._predict_edges_in_training(params, batch_stats, x)
        real, fake = (self._maps("edge_discriminator", params, batch_stats, _concatenate(grey, e))
                      for e in (edges, predicted))  # fmt: skip
        terms = {
            "adversarial": losses.adversarial_generator(fake[-1]),
            "feature_matching": losses.perceptual(fake, real),
        }
        c = self.config.edge_connect
        total = c.edge_adversarial * terms["adversarial"] + c.feature_matching * terms["feature_matching"]
        return total, Aux({"edges": edges, "predicted_edges": predicted}, new_batch_stats, terms)

    def _generator_loss(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch, outputs: dict[str, Array]
    ) -> tuple[Float[Array, ""], Aux]:
        edges = outputs["edges"] if self.uses_true_edges else self._complete_edges(
            params, batch_stats, batch, canny(to_grey(batch.image), self.config.edge_connect.sigma))
        raw = rematerialize(self._predict_image, enabled=self.config.remat)(params["generator"], batch, edges)
        hole = 1 - batch.valid
        share = jnp.maximum(hole.mean(), 1 / hole.size)  # of the batch; at least one pixel, to divide by it
        terms = {
            "l1": jnp.mean(jnp.abs(raw - batch.image)) / share,
            "adversarial": losses.adversarial_generator(self._maps("discriminator", params, batch_stats, raw)[-1]),
            **self._feature_terms(raw, batch.image, hole),
        }
        return weighted_sum(terms, self.config.edge_connect), Aux({"raw": raw}, batch_stats["generator"], terms)

    def _discriminator_loss(
        self, network: str, params: dict[str, PyTree], batch_stats: dict[str, PyTree], real: Map, fake: Map
    ) -> tuple[Float[Array, ""], Aux]:
        variables = network_variables(network, params, batch_stats)
        real, fake, new_batch_stats = discriminate_both(self.discriminator, variables, real, fake)
        loss = losses.adversarial_discriminator(real, fake) / 2
        return loss, Aux({}, new_batch_stats, {"adversarial": loss})

    def _maps(
        self, network: str, params: dict[str, PyTree], batch_stats: dict[str, PyTree], images: Map
    ) -> tuple[Map, ...]:
        """Return all feature maps of a discriminator; the last one is the logits."""
        variables = network_variables(network, params, batch_stats)
        return self.discriminator.apply(  # type: ignore[return-value]
            variables, images, update_stats=False, method="maps")

    def _feature_terms(
        self, raw: Float[Array, "b h w 3"], image: Float[Array, "b h w 3"], hole: Edges
    ) -> dict[str, Float[Array, ""]]:
        """Return the perceptual term on whole images and the style term on holes; {} if both weights are 0."""
        if not self.needs_features:
            return {}
        predicted, truth = self._features(raw), self._features(image)
        predicted_hole, true_hole = self._features(raw * hole), self._features(image * hole)
        return {
            "perceptual": losses.perceptual(*([f[name] for name in PERCEPTUAL] for f in (predicted, truth))),
            "style": losses.style(*([f[name] for name in STYLE] for f in (predicted_hole, true_hole))),
        }

    def _features(self, images: Float[Array, "b h w 3"]) -> dict[str, Map]:
        return self.vgg19.apply({"params": self.vgg19_params}, images)  # type: ignore[return-value]

    def _predict_edges_in_training(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], x: Map
    ) -> tuple[Edges, PyTree]:
        def forward(own: PyTree) -> tuple[Edges, Any]:
            variables = {"params": own, "batch_stats": batch_stats["edge_generator"]}
            return self.edge_generator.apply(variables, x, update_stats=True, mutable=["batch_stats"])

        logits, updated = rematerialize(forward, enabled=self.config.remat)(params["edge_generator"])
        return nn.sigmoid(logits), updated["batch_stats"]

    def _predict_edges(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch, edges: Edges
    ) -> Edges:
        """Return the edge generator's edges of the whole image, in (0, 1), from the edges of valid pixels."""
        x = _edge_generator_input(to_grey(batch.image), edges, batch.valid)
        variables = network_variables("edge_generator", params, batch_stats)
        logits: Array = self.edge_generator.apply(variables, x, update_stats=False)  # type: ignore[assignment]
        return nn.sigmoid(logits)

    def _complete_edges(
        self, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch, edges: Edges
    ) -> Edges:
        """Return `edges` where pixels are valid and the edge generator's prediction, in (0, 1), in the hole."""
        return jnp.where(batch.valid > 0, edges, self._predict_edges(params, batch_stats, batch, edges))

    def _predict_image(self, params: PyTree, batch: Batch, edges: Edges) -> Float[Array, "b h w 3"]:
        x = _generator_input(batch, edges)
        linear: Array = self.generator.apply({"params": params}, x, update_stats=False)  # type: ignore[assignment]
        return (jnp.tanh(linear) + 1) / 2

    def predict(self, variables: Variables, batch: Batch, rng: Array) -> Completion:
        """Find the edges of the valid pixels, predict edges from them (`aux["edges"]`), and then the image."""
        del rng  # deterministic
        _, h, w, _ = batch.image.shape
        padded = pad_with_hole(batch, DOWNSAMPLING)
        found = canny(to_grey(padded.image), self.config.edge_connect.sigma, padded.valid)
        everywhere = self.config.edge_connect.edges == "everywhere"
        edges = (self._predict_edges if everywhere else self._complete_edges)(**variables, batch=padded, edges=found)
        raw = self._predict_image(variables["params"]["generator"], padded, edges)[:, :h, :w]
        return Completion(raw, complete(raw, batch), {"edges": edges[:, :h, :w]})


def _undivided(params: PyTree, batch_stats: PyTree) -> PyTree:
    """Return initial parameters as the initializer returned them: flax divides the kernels by sigma."""
    undivided = dict(params)
    for name, norm in batch_stats.items():
        layer = name.removesuffix("_norm")
        sigma = norm[f"{layer}/kernel/sigma"]
        undivided[layer] = {**params[layer], "kernel": params[layer]["kernel"] * sigma}
    return undivided


# `where`, not products, in both: the content of the hole, NaN included, must not reach the networks.


def _edge_generator_input(grey: Edges, edges: Edges, valid: Edges) -> Float[Array, "b h w 3"]:
    """Return the grey image (white in the hole), the edges outside the hole, and the hole."""
    given = valid > 0
    return _concatenate(jnp.where(given, grey, 1), jnp.where(given, edges, 0), 1 - valid)


def _generator_input(batch: Batch, edges: Edges) -> Float[Array, "b h w 4"]:
    """Return the image (white in the hole) and the edges."""
    return _concatenate(jnp.where(batch.valid > 0, batch.image, 1), edges)


def _concatenate(*maps: Map) -> Map:
    return jnp.concatenate(maps, axis=-1)
