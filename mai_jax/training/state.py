"""Everything that a training step changes."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Sharding
from jaxtyping import Array, Bool, Int

from mai_jax.config import Adam, Config
from mai_jax.models.base import ByPlayer, Model
from mai_jax.types import Batch


@flax.struct.dataclass
class State:
    """`params`, `stats` and `opt` are keyed by player; `key` stays, each step folds its number into it.

    `failed`: a step found a number that is not finite. Nothing moves any more until the loop, which learns of it one
    step late, has cleared it: so it finds the very state that failed.
    """

    step: Int[Array, ""]
    params: ByPlayer
    stats: ByPlayer
    opt: dict[str, Any]
    key: Array
    failed: Bool[Array, ""]


def fresh(model: Model, config: Config) -> State:
    """The state before the first step, a pure function of `config.seed`."""
    key, init_key = split_key(config)
    size = config.image_size
    batch = Batch(jnp.zeros((1, size, size, 3)), jnp.ones((1, size, size, 1)))
    params, stats = model.init(init_key, batch)
    opt = {player: tx.init(params[player]) for player, tx in optimisers(model, config).items()}
    return State(jnp.zeros((), jnp.int32), params, stats, opt, key, jnp.zeros((), bool))


def create(model: Model, config: Config, sharding: Sharding | None = None) -> State:
    """`fresh`, compiled and computed."""
    # It runs once: on CPU, optimising the random numbers of some thirty kernels takes 16 s, drawing them 0.02 s.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(lambda: fresh(model, config), out_shardings=sharding, compiler_options=options)()


def items(state: State) -> dict[str, Any]:
    """What a checkpoint holds, item by item; the rest follows from the step and the config."""
    return {"params": {"params": state.params, "stats": state.stats}, "opt": state.opt}


def restored(saved: dict[str, Any], step: int, config: Config) -> State:
    """The state after `step` steps of which `saved` are the items."""
    key, _ = split_key(config)
    return State(jnp.int32(step), **saved["params"], opt=saved["opt"], key=key, failed=jnp.zeros((), bool))


def split_key(config: Config) -> tuple[Array, Array]:
    """(the key of all steps, the key of the first parameters)."""
    key, init_key = jax.random.split(jax.random.key(config.seed))
    return key, init_key


def optimisers(model: Model, config: Config) -> dict[str, optax.GradientTransformation]:
    """Each player's Adam over all phases."""
    schedule = learning_rate(config)

    def optimiser(adam: Adam) -> optax.GradientTransformation:
        return optax.adam(lambda step: adam.rate * schedule(step), adam.b1, adam.b2)

    return {player: optimiser(adam) for player, adam in model.adam.items()}


def learning_rate(config: Config) -> optax.Schedule:
    """Steps done to learning rate: one phase's schedule after the other."""
    schedules, boundaries, end = [], [], 0
    for phase in config.phases.values():
        if phase.steps == 0:
            continue
        if phase.schedule == "cosine":
            schedules.append(optax.cosine_decay_schedule(phase.learning_rate, phase.steps))
        else:
            schedules.append(optax.constant_schedule(phase.learning_rate))
        end += phase.steps
        boundaries.append(end)
    return optax.join_schedules(schedules, boundaries[:-1])
