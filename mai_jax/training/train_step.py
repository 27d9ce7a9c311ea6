"""One training step of any method: sample holes, compute the gradients of every network, apply them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Compiled
from jaxtyping import Array, Float, PyTree, UInt8

from mai_jax.batch import Batch
from mai_jax.config import Config
from mai_jax.data.hole_sampler import HoleSampler
from mai_jax.models.base import Aux, Model
from mai_jax.training.train_state import TrainState, init_state, learning_rate_schedule

Logs = dict[str, Float[Array, ""]]
Optimizers = dict[str, optax.GradientTransformation]
SampleHoles = Callable[[Any, Array, int], Float[Array, "b h w 1"]]


class StepOutput(NamedTuple):
    """The result of one network's loss: gradients over its parameters, its new statistics, its scalars."""

    gradients: PyTree
    batch_stats: PyTree
    logs: Logs


def train_step(
    model: Model, optimizers: Optimizers, sample_holes: SampleHoles, state: TrainState,
    images: UInt8[Array, "b h w 3"], mask_bank: Any,
) -> tuple[TrainState, Logs]:  # fmt: skip
    """Return the next state and the scalars of the step, named "network/term".

    All gradients are computed at the old parameters. The outputs of a network reach the later ones under stop_gradient:
    one generator forward pass serves all, and no gradient leaks into another network's optimizer. Networks that the
    phase does not update are unchanged.

    If a loss term or a gradient norm is not finite, the state is unchanged but for `nonfinite`, and "finite" in the
    scalars is 0. A state with `nonfinite` set stays unchanged.
    """
    hole_rng, *network_rngs = step_rngs(model, state)
    image = images.astype(float) / 255  # float64 where that is enabled
    batch = Batch(image, sample_holes(mask_bank, hole_rng, len(images)).astype(image.dtype))
    outputs = compute_gradients(model, state, batch, network_rngs)
    logs = {"hole_ratio": 1 - batch.valid.mean()}
    for output in outputs.values():
        logs |= output.logs
    return skip_if_nonfinite(state, apply_gradients(state, optimizers, outputs), logs)


def step_rngs(model: Model, state: TrainState) -> Array:
    """Return the rngs of the next step: one for the holes, then one per network."""
    return jax.random.split(jax.random.fold_in(state.rng, state.step), 1 + len(model.networks))


def compute_gradients(
    model: Model, state: TrainState, batch: Batch, rngs: Sequence[Array]
) -> dict[str, StepOutput]:
    """Return the `StepOutput` of every network that the phase updates."""

    def loss(own: PyTree, network: str, outputs: dict[str, Array], rng: Array) -> tuple[Float[Array, ""], Aux]:
        return model.loss(network, {**state.params, network: own}, state.batch_stats, batch, outputs, rng)

    outputs: dict[str, Array] = {}
    results = {}
    for network, rng in zip(model.networks, rngs, strict=True):
        (total, aux), gradients = jax.value_and_grad(loss, has_aux=True)(state.params[network], network, outputs, rng)
        outputs = outputs | jax.lax.stop_gradient(aux.outputs)
        logs = {**aux.logs, "total": total, "gradient_norm": optax.tree.norm(gradients)}
        results[network] = StepOutput(gradients, aux.batch_stats, {f"{network}/{k}": v for k, v in logs.items()})
    return results


def apply_gradients(state: TrainState, optimizers: Optimizers, outputs: dict[str, StepOutput]) -> TrainState:
    """Return the state after one optimizer update of every network in `outputs`."""
    params, batch_stats, opt_state = {**state.params}, {**state.batch_stats}, {**state.opt_state}
    for network, output in outputs.items():
        updates, opt_state[network] = optimizers[network].update(
            output.gradients, state.opt_state[network], state.params[network])
        params[network] = optax.apply_updates(state.params[network], updates)
        batch_stats[network] = output.batch_stats
    return state.replace(step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state)


def skip_if_nonfinite(state: TrainState, new: TrainState, logs: Logs) -> tuple[TrainState, Logs]:
    """Return `new` if all scalars are finite, else the old state with `nonfinite` set; add "finite" to the scalars."""
    finite = jnp.isfinite(jnp.stack(list(logs.values()))).all()
    applied = finite & ~state.nonfinite
    new = jax.tree.map(lambda before, after: jnp.where(applied, after, before), state, new)
    return new.replace(nonfinite=~applied), logs | {"finite": finite.astype(float)}


def make_train_step(model: Model, config: Config, sample_holes: SampleHoles, mesh: Mesh) -> jax.stages.Wrapped:
    """Return `train_step(state, images, mask_bank)` jitted over a mesh with one axis, "data".

    Images are sharded over the axis, everything else is replicated, and the old state is donated. BatchNorm statistics
    are those of the whole batch for any number of devices.
    """
    replicated = NamedSharding(mesh, PartitionSpec())
    sharded = NamedSharding(mesh, PartitionSpec("data"))
    optimizers = model.make_optimizers(learning_rate_schedule(config))

    def step(state: TrainState, images: UInt8[Array, "b h w 3"], mask_bank: Any) -> tuple[TrainState, Logs]:
        return train_step(model, optimizers, sample_holes, state, images, mask_bank)

    return jax.jit(
        step,
        in_shardings=(replicated, sharded, replicated),
        out_shardings=(replicated, replicated),
        donate_argnums=0,
    )


def compile_train_step(model: Model, config: Config, hole_sampler: HoleSampler, mesh: Mesh) -> Compiled:
    """Return `make_train_step` compiled ahead of time for the shapes of `config`. Allocates nothing on the devices."""
    state, mask_bank = jax.eval_shape(lambda: (init_state(model, config), hole_sampler.mask_bank))
    images = jax.ShapeDtypeStruct((config.batch_size, config.image_size, config.image_size, 3), jnp.uint8)
    return make_train_step(model, config, hole_sampler.sample, mesh).lower(state, images, mask_bank).compile()


def data_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """Return a mesh of all devices along one axis, "data", sorted by process so that each holds adjacent rows."""
    found = sorted(jax.devices(), key=lambda d: (d.process_index, d.id)) if devices is None else devices
    return Mesh(np.array(found), ("data",))
