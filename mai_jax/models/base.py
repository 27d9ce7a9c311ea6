"""The interface of a method, and what several methods share.

A method is one file of this package and one entry of `models.MODELS`; docs/extending.md adds one step by step.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from mai_jax import config as config_lib
from mai_jax.batch import Batch, Completion
from mai_jax.config import Config

Variables = dict[str, dict[str, PyTree]]  # {"params": {network: tree}, "batch_stats": {network: tree}}


class Aux(NamedTuple):
    """The second result of `Model.loss`.

    `outputs`: arrays that the losses of later networks receive, under stop_gradient. `batch_stats`: the network's
    running statistics after the step. `logs`: one scalar per loss term.
    """

    outputs: dict[str, Array]
    batch_stats: PyTree
    logs: dict[str, Float[Array, ""]]


@runtime_checkable
class Model(Protocol):
    """A method in one phase of its training. Stateless: parameters and statistics are arguments and results."""

    def __init__(self, config: Config, phase: str = "main") -> None:
        """`phase` is a key of `config.phases`."""

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that this phase updates, in this order. A class attribute is enough."""

    def prepare(self) -> None:
        """Read what only training needs, such as the weights of a feature extractor. Raises InputError."""

    def make_optimizers(self, schedule: optax.Schedule) -> dict[str, optax.GradientTransformation]:
        """Return the optimizer of every network, also of those that this phase does not update.

        `schedule` maps the number of steps done to the learning rate of the phase.
        """

    def init(self, rng: Array, batch: Batch) -> Variables:
        """Return initial {"params": {network: tree}, "batch_stats": {network: tree}}."""

    def loss(
        self, network: str, params: dict[str, PyTree], batch_stats: dict[str, PyTree], batch: Batch,
        outputs: dict[str, Array], rng: Array,
    ) -> tuple[Float[Array, ""], Aux]:  # fmt: skip
        """Return the loss that `network` minimizes over `params[network]`, and its `Aux`.

        `outputs` are the outputs of the networks before it in `networks`.
        """

    def predict(self, variables: Variables, batch: Batch, rng: Array) -> Completion:
        """Fill the holes of a batch of any height and width."""


@runtime_checkable
class StochasticModel(Model, Protocol):
    """A method that samples its prediction, so that one hole has many."""

    def sample(self, variables: Variables, batch: Batch, rng: Array, num_samples: int) -> Float[Array, "n b h w 3"]:
        """Return `num_samples` raw predictions; the given pixels are not put back."""


def adam(settings: config_lib.Adam, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Return Adam with the phase's learning rate times `settings.lr_scale`."""
    return optax.adam(lambda step: settings.lr_scale * schedule(step), settings.b1, settings.b2)


def weighted_sum(terms: Mapping[str, Float[Array, ""]], weights: Any) -> Float[Array, ""]:
    """Return the sum of the loss terms, each times the field of its name in a config section."""
    return sum(getattr(weights, name) * term for name, term in terms.items())


def network_variables(network: str, params: dict[str, PyTree], batch_stats: dict[str, PyTree]) -> dict[str, PyTree]:
    """Return the variables of one network as `flax.linen.Module.apply` takes them."""
    return {"params": params[network], "batch_stats": batch_stats[network]}


def discriminate_both(
    discriminator: nn.Module, variables: dict[str, PyTree], real: Float[Array, "b h w c"], fake: Float[Array, "b h w c"]
) -> tuple[Float[Array, "b h2 w2 1"], Float[Array, "b h2 w2 1"], PyTree]:
    """Return the discriminator's logits of real and fake images, and its running statistics after the step.

    Both halves go through one call, so that the spectral norm's power iteration takes one step per update.
    """
    logits, updated = discriminator.apply(variables, interleave(real, fake), update_stats=True, mutable=["batch_stats"])
    real_logits, fake_logits = jnp.moveaxis(logits.reshape(-1, 2, *logits.shape[1:]), 1, 0)
    return real_logits, fake_logits, updated["batch_stats"]


def interleave(a: Float[Array, "b *rest"], b: Float[Array, "b *rest"]) -> Float[Array, "2*b *rest"]:
    """Return one batch in which `a` and `b` alternate.

    Concatenation would move images between devices, since the batch axis is sharded.
    """
    return jnp.stack([a, b], axis=1).reshape(-1, *a.shape[1:])


def deinterleave(both: Float[Array, "both *rest"]) -> tuple[Float[Array, "b *rest"], Float[Array, "b *rest"]]:
    """Return the two batches that `interleave` joined."""
    pairs = both.reshape(-1, 2, *both.shape[1:])
    return pairs[:, 0], pairs[:, 1]


def pad_with_hole(batch: Batch, multiple: int) -> Batch:
    """Return the batch padded at the bottom and right to multiples of `multiple`; the padding counts as hole."""
    _, h, w, _ = batch.image.shape
    pad = ((0, 0), (0, -h % multiple), (0, -w % multiple), (0, 0))
    return Batch(jnp.pad(batch.image, pad), jnp.pad(batch.valid, pad))


def rematerialize(forward: Callable[..., Any], *, enabled: bool) -> Callable[..., Any]:
    """Return `forward` under `jax.checkpoint` if `enabled`.

    Only activations named "conv" are kept for the backward pass; everything between two convolutions is cheap to
    recompute.
    """
    if not enabled:
        return forward
    return jax.checkpoint(forward, policy=jax.checkpoint_policies.save_only_these_names("conv"))
