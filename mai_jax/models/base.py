"""What a method is to the rest of the project: players that paint and judge a batch in turn."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax.config import Adam, Config
from mai_jax.types import Batch, Completion

ByPlayer = dict[str, Any]  # a pytree for each player


class Aux(NamedTuple):
    """What comes with a player's loss.

    `outputs` reach the players after it under stop_gradient; `stats` are the player's own running statistics after the
    step; `logs` are scalars, one per loss term.
    """

    outputs: dict[str, Array]
    stats: Any
    logs: dict[str, Float[Array, ""]]


@runtime_checkable
class Model(Protocol):
    """A method in one phase of its training. Holds no state: parameters and statistics are passed in and out."""

    players: tuple[str, ...]  # who moves in this phase, in this order

    @property
    def adam(self) -> dict[str, Adam]:
        """The optimiser of every player, whether it moves in this phase or not."""

    def __init__(self, config: Config, phase: str = "train") -> None:
        """`phase` is a key of `config.phases`."""

    def prepare(self) -> None:
        """Reads what only training needs, such as the weights of a feature extractor. Raises InputError."""

    def init(self, key: Array, batch: Batch) -> tuple[ByPlayer, ByPlayer]:
        """Fresh (params, stats)."""

    def loss(
        self, player: str, params: ByPlayer, stats: ByPlayer, batch: Batch, outputs: dict[str, Array], key: Array
    ) -> tuple[Float[Array, ""], Aux]:
        """What `player` minimises over `params[player]`. `outputs` are those of the players before it."""

    def paint(self, params: ByPlayer, stats: ByPlayer, batch: Batch, key: Array) -> Completion:
        """Fills the holes of a batch of any height and width."""


@runtime_checkable
class Sampler(Model, Protocol):
    """A method that paints by lot, and so can paint a hole in several ways."""

    def samples(self, params: ByPlayer, stats: ByPlayer, batch: Batch, key: Array, n: int) -> Float[Array, "n b h w 3"]:
        """What `n` draws paint everywhere, not completed."""


def pad_with_hole(batch: Batch, multiple: int) -> Batch:
    """The batch enlarged below and to the right to multiples of `multiple`; what is added counts as hole."""
    _, h, w, _ = batch.image.shape
    pad = ((0, 0), (0, -h % multiple), (0, -w % multiple), (0, 0))
    return Batch(jnp.pad(batch.image, pad), jnp.pad(batch.known, pad))


def rematerialised(forward: Callable[..., Any], *, enabled: bool) -> Callable[..., Any]:
    """`forward`, of whose activations only those named "conv" are kept for the backward pass, if `enabled`.

    All else lies between two convolutions and is cheap to compute again.
    """
    if not enabled:
        return forward
    return jax.checkpoint(forward, policy=jax.checkpoint_policies.save_only_these_names("conv"))
