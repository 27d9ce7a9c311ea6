"""From a run to its checkpoints, and back."""

import logging
from pathlib import Path

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mai_jax import checkpoint
from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.models.base import Model
from mai_jax.training import state as state_lib
from mai_jax.training.state import State
from mai_jax.training.steps import Steps
from mai_jax.types import InputError

log = logging.getLogger(__name__)


class Saver:
    """Saves the state of `steps`."""

    def __init__(self, config: Config, workdir: Path, steps: Steps, writer: checkpoint.Writer) -> None:
        self._at = steps.done  # the step that was saved last, or that the run started from
        self._folder = workdir / checkpoint.FOLDER
        self._config = config
        self._steps = steps
        self._writer = writer

    def save(self) -> None:
        """Saves, unless that has been done. Raises Diverged: a state that is not finite is never saved."""
        if self._steps.done == self._at:
            return
        self._steps.settle()
        # One batch per step, from a source that any process can enter anywhere: the step is the data position too.
        meta = {"config": config_lib.to_dict(self._config), "next_index": self._steps.done}
        self._writer.save(self._steps.done, state_lib.items(self._steps.state), meta)
        self._at = self._steps.done

    @property
    def last(self) -> Path | None:
        """The newest checkpoint."""
        return self._folder / str(self._at) if self._at else None


def newest(config: Config, workdir: Path) -> checkpoint.Reader | None:
    """The newest checkpoint, if there is one. Raises InputError if it is of a run of another config."""
    if not checkpoint.steps(workdir):
        return None
    reader = checkpoint.Reader(workdir)
    if changed := config_lib.differences(reader.config, config):
        raise InputError(f"{workdir}: was trained with another config: {'; '.join(changed)}; "
                         "give the same values, or another --workdir")
    return reader


def start(model: Model, config: Config, workdir: Path, mesh: Mesh) -> State:
    """The state of the newest checkpoint; a fresh one only if there is none."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    reader = newest(config, workdir)
    if reader is None:
        return state_lib.create(model, config, everywhere)
    like = jax.eval_shape(lambda: state_lib.items(state_lib.fresh(model, config)))
    saved = {name: reader.read(name, item) for name, item in like.items()}
    log.info("going on from %s", reader.path)
    state = state_lib.restored(saved, reader.step, config)
    # jax.device_put takes arrays to the devices of all processes, but no keys.
    key = jax.jit(lambda: state.key, out_shardings=everywhere)()
    *rest, failed = jax.device_put((state.step, state.params, state.stats, state.opt, state.failed), everywhere)
    return State(*rest, key, failed)
