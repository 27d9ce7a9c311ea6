"""One training step, for any method: hide, then let each player move once."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Compiled
from jaxtyping import Array, Float, UInt8

from mai_jax.config import Config
from mai_jax.data.holes import Hiding
from mai_jax.models.base import Aux, Model
from mai_jax.training import state as state_lib
from mai_jax.training.state import State
from mai_jax.types import Batch

Logs = dict[str, Float[Array, ""]]
HoleSampler = Callable[[Any, Array, int], Float[Array, "b h w 1"]]


class Verdict(NamedTuple):
    """What a player's loss says of a batch: gradients over its parameters, its statistics after it, its scalars."""

    gradients: Any
    stats: Any
    logs: Logs


def train_step(
    model: Model, optimisers: dict[str, optax.GradientTransformation], sample_holes: HoleSampler,
    state: State, images: UInt8[Array, "b h w 3"], holes: Any,
) -> tuple[State, Logs]:  # fmt: skip
    """The next state, and the scalars of this step named "player/term".

    All gradients are taken at the old parameters; a player's outputs reach the later ones under stop_gradient, so one
    forward pass of the generator serves all, and no gradient leaks into another player's optimiser. A player that
    does not move in this phase stays as it is.

    If a loss term or a gradient is not finite, the state stays what it was, `failed` set, and "finite" in the scalars
    is 0. Of a state that has failed nothing moves, whatever the batch.
    """
    new, logs = moved(model, optimisers, sample_holes, state, images, holes)
    finite = jnp.isfinite(jnp.stack(list(logs.values()))).all()
    applied = finite & ~state.failed
    new = jax.tree.map(lambda before, after: jnp.where(applied, after, before), state, new)
    return new.replace(failed=~applied), logs | {"finite": finite.astype(float)}


def moved(
    model: Model, optimisers: dict[str, optax.GradientTransformation], sample_holes: HoleSampler,
    state: State, images: UInt8[Array, "b h w 3"], holes: Any,
) -> tuple[State, Logs]:  # fmt: skip
    """`train_step` whatever comes out of it, finite or not."""
    hole_key, *player_keys = keys(model, state)
    image = images.astype(float) / 255  # float64 where that is enabled
    batch = Batch(image, sample_holes(holes, hole_key, len(images)).astype(image.dtype))

    new = state.replace(step=state.step + 1, params={**state.params}, stats={**state.stats}, opt={**state.opt})
    logs: Logs = {"hole_ratio": 1 - batch.known.mean()}
    for player, verdict in judge(model, state, batch, player_keys).items():
        updates, new.opt[player] = optimisers[player].update(
            verdict.gradients, state.opt[player], state.params[player])
        new.params[player] = optax.apply_updates(state.params[player], updates)
        new.stats[player] = verdict.stats
        logs |= verdict.logs
    return new, logs


def keys(model: Model, state: State) -> Array:
    """The keys of the next step: for the holes, then for each player."""
    return jax.random.split(jax.random.fold_in(state.key, state.step), 1 + len(model.players))


def judge(model: Model, state: State, batch: Batch, keys: Sequence[Array]) -> dict[str, Verdict]:
    """What each player's loss says of the batch, by player."""
    outputs: dict[str, Array] = {}
    verdicts = {}
    for player, key in zip(model.players, keys, strict=True):
        gradients, total, aux = _differentiate(model, player, state, batch, outputs, key)
        outputs |= jax.lax.stop_gradient(aux.outputs)
        terms = {**aux.logs, "total": total, "gradient_norm": optax.tree.norm(gradients)}
        verdicts[player] = Verdict(gradients, aux.stats, {f"{player}/{name}": term for name, term in terms.items()})
    return verdicts


def _differentiate(
    model: Model, player: str, state: State, batch: Batch, outputs: dict[str, Array], key: Array
) -> tuple[Any, Float[Array, ""], Aux]:
    """The gradients of a player's loss over its own parameters, the loss, and what comes with it."""

    def loss(own: Any) -> tuple[Float[Array, ""], Aux]:
        return model.loss(player, {**state.params, player: own}, state.stats, batch, outputs, key)

    (total, aux), gradients = jax.value_and_grad(loss, has_aux=True)(state.params[player])
    return gradients, total, aux


def compile_step(model: Model, config: Config, sample_holes: HoleSampler, mesh: Mesh) -> Callable[..., Any]:
    """`train_step` over a mesh with one axis, "data": images split, all else replicated, the old state donated.

    BatchNorm sees the whole batch, whatever the number of devices.
    """
    everywhere = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec("data"))
    optimisers = state_lib.optimisers(model, config)

    def step(state: State, images: UInt8[Array, "b h w 3"], holes: Any) -> tuple[State, Logs]:
        return train_step(model, optimisers, sample_holes, state, images, holes)

    return jax.jit(
        step,
        in_shardings=(everywhere, split, everywhere),
        out_shardings=(everywhere, everywhere),
        donate_argnums=0,
    )


def compile_ahead(model: Model, config: Config, hiding: Hiding, mesh: Mesh) -> Compiled:
    """The step of `compile_step`, compiled for the shapes of `config`. Allocates nothing on the devices."""
    state, bank = jax.eval_shape(lambda: (state_lib.fresh(model, config), hiding.bank))
    images = jax.ShapeDtypeStruct((config.batch_size, config.image_size, config.image_size, 3), jnp.uint8)
    return compile_step(model, config, hiding.sample, mesh).lower(state, images, bank).compile()


def data_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """All devices along one axis, "data", those of a process side by side, as are its rows of a batch."""
    found = sorted(jax.devices(), key=lambda d: (d.process_index, d.id)) if devices is None else devices
    return Mesh(np.array(found), ("data",))
