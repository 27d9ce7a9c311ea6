"""One training step of any method: sample holes, compute the gradients of every network, apply them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Compiled
from jaxtyping import Array, Float, Int, PyTree, UInt8

from mai_jax.batch import Batch
from mai_jax.config import Config
from mai_jax.data.hole_sampler import HoleSampler
from mai_jax.models.base import Aux, Model, Variables
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
    images: UInt8[Array, "b h w 3"], mask_bank: Any, *, parts: int = 1, ema_decay: float = 0,
) -> tuple[TrainState, Logs]:  # fmt: skip
    """Return the next state and the scalars of the step, named "network/term".

    All gradients are computed at the old parameters. The outputs of a network reach the later ones under stop_gradient:
    one generator forward pass serves all, and no gradient leaks into another network's optimizer. Networks that the
    phase does not update are unchanged. The batch is computed in `parts` (see `accumulate_gradients`).

    If a loss term or a gradient norm is not finite, the state is unchanged but for `nonfinite`, and "finite" in the
    scalars is 0. A state with `nonfinite` set stays unchanged.
    """
    hole_rng, *network_rngs = step_rngs(model, state)
    image = images.astype(float) / 255  # float64 where that is enabled
    batch = Batch(image, sample_holes(mask_bank, hole_rng, len(images)).astype(image.dtype))
    outputs = accumulate_gradients(model, state, batch, network_rngs, parts)
    logs = {"hole_ratio": 1 - batch.valid.mean()}
    for output in outputs.values():
        logs |= output.logs
    new = apply_gradients(state, optimizers, outputs)
    if new.ema is not None:
        new = new.replace(ema=average(new.ema, new.variables, ema_decay, new.step))
    return skip_if_nonfinite(state, new, logs)


def step_rngs(model: Model, state: TrainState) -> Array:
    """Return the rngs of the next step: one for the holes, then one per network."""
    return jax.random.split(jax.random.fold_in(state.rng, state.step), 1 + len(model.networks))


def accumulate_gradients(
    model: Model, state: TrainState, batch: Batch, rngs: Sequence[Array], parts: int
) -> dict[str, StepOutput]:
    """Return `compute_gradients` of the batch, computed in `parts` parts one after the other.

    Gradients and scalars are means over the parts: those of the whole batch, where a loss is a mean over images. The
    normalization of BatchNorm is that of a part, and its running statistics follow part by part.
    """
    if parts == 1:
        return compute_gradients(model, state, batch, rngs)
    # Part i has the rows i, i + parts, ..., so that no row changes its device.
    split = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, parts, *x.shape[1:]), 1, 0), batch)
    batch_stats: dict[str, PyTree] = {**state.batch_stats}
    first, indices = jax.tree.map(lambda x: x[0], split), jnp.arange(parts)

    def compute(batch_stats: dict[str, PyTree], part: Batch, index: Array) -> dict[str, StepOutput]:
        part_rngs = [jax.random.fold_in(rng, index) for rng in rngs]
        return compute_gradients(model, state.replace(batch_stats=batch_stats), part, part_rngs)

    def add(carry: tuple[PyTree, PyTree], inputs: tuple[Batch, Array]) -> tuple[tuple[PyTree, PyTree], None]:
        batch_stats, sums = carry
        outputs = compute(batch_stats, *inputs)
        batch_stats = batch_stats | {network: output.batch_stats for network, output in outputs.items()}
        return (batch_stats, jax.tree.map(jnp.add, sums, _summands(outputs))), None

    shapes = jax.eval_shape(lambda: _summands(compute(batch_stats, first, indices[0])))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    (batch_stats, sums), _ = jax.lax.scan(add, (batch_stats, zeros), (split, indices))
    results = {}
    for network, (gradients, logs) in jax.tree.map(lambda x: x / parts, sums).items():
        logs[f"{network}/gradient_norm"] = optax.tree.norm(gradients)
        results[network] = StepOutput(gradients, batch_stats[network], logs)
    return results


def _summands(outputs: dict[str, StepOutput]) -> dict[str, tuple[PyTree, Logs]]:
    return {network: (output.gradients, output.logs) for network, output in outputs.items()}


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


def average(ema: Variables, variables: Variables, decay: float, step: Int[Array, ""]) -> Variables:
    """Return the exponential moving average after `step` steps.

    The decay rises to `decay` as (1 + step) / (10 + step), so that the initial values do not stay in the average of a
    short run.
    """
    rising = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda e, x: e + (1 - rising).astype(e.dtype) * (x - e), ema, variables)


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
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # for kernels that are chosen by the kind of device
            return train_step(model, optimizers, sample_holes, state, images, mask_bank, parts=config.accumulate,
                              ema_decay=config.ema_decay)

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
