"""The train state: everything that a training step changes."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Sharding
from jaxtyping import Array, Bool, Int, PyTree

from mai_jax.batch import Batch
from mai_jax.config import Config
from mai_jax.models.base import Model, Variables


class TrainState(flax.struct.PyTreeNode):
    """`params`, `batch_stats` and `opt_state` are dicts by network. `rng` is constant: each step folds its number in.

    `ema` is the exponential moving average of `variables`, None without `config.ema_decay`.
    `nonfinite` is set by a step that found a value that is not finite. Such a step and all later ones leave the rest of
    the state unchanged until the trainer, which learns of it one step late, clears the flag.
    """

    step: Int[Array, ""]
    params: dict[str, PyTree]
    batch_stats: dict[str, PyTree]
    opt_state: dict[str, PyTree]
    rng: Array
    nonfinite: Bool[Array, ""]
    ema: Variables | None = None

    @property
    def variables(self) -> Variables:
        """Params and batch_stats as `Model.predict` takes them."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def eval_variables(self) -> Variables:
        """The variables to validate: their average if there is one."""
        return self.variables if self.ema is None else self.ema


def init_state(model: Model, config: Config) -> TrainState:
    """Return the state before the first step, a pure function of `config.seed`."""
    rng, init_rng = initial_rngs(config)
    size = config.image_size
    batch = Batch(jnp.zeros((1, size, size, 3)), jnp.ones((1, size, size, 1)))
    variables = model.init(init_rng, batch)
    optimizers = model.make_optimizers(learning_rate_schedule(config))
    opt_state = {network: tx.init(variables["params"][network]) for network, tx in optimizers.items()}
    ema = jax.tree.map(jnp.copy, variables) if config.ema_decay else None
    return TrainState(jnp.zeros((), jnp.int32), **variables, opt_state=opt_state, rng=rng,
                      nonfinite=jnp.zeros((), bool), ema=ema)


def init_on_devices(model: Model, config: Config, sharding: Sharding | None = None) -> TrainState:
    """Return `init_state`, compiled, with the given sharding."""
    # It runs once. On CPU, optimizing the random draws of some thirty kernels takes 16 s, running them 0.02 s.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(lambda: init_state(model, config), out_shardings=sharding, compiler_options=options)()


def variable_shapes(model: Model, config: Config) -> Variables:
    """Return shapes and types of the model's variables. Computes nothing."""
    size = config.image_size
    batch = jax.eval_shape(lambda: Batch(*(jnp.zeros((1, size, size, channels), jnp.float32) for channels in (3, 1))))
    return jax.eval_shape(model.init, jax.random.key(0), batch)


def checkpoint_items(state: TrainState) -> dict[str, Any]:
    """Return the items of a checkpoint. The rest of the state follows from the step and the config."""
    averaged = {} if state.ema is None else {"ema": state.ema}
    return {"params": state.variables, "opt_state": state.opt_state} | averaged


def restore_state(items: dict[str, Any], step: int, config: Config) -> TrainState:
    """Return the state after `step` steps from the items of its checkpoint."""
    rng, _ = initial_rngs(config)
    return TrainState(jnp.int32(step), **items["params"], opt_state=items["opt_state"], rng=rng,
                      nonfinite=jnp.zeros((), bool), ema=items.get("ema"))


def initial_rngs(config: Config) -> tuple[Array, Array]:
    """Return (the rng of all steps, the rng of the initial parameters)."""
    rng, init_rng = jax.random.split(jax.random.key(config.seed))
    return rng, init_rng


def learning_rate_schedule(config: Config) -> optax.Schedule:
    """Return the learning rate by number of steps done: the schedules of the phases, one after the other."""
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
