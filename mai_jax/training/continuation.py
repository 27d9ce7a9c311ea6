"""Starting a run from other weights, and going on with it under a changed config.

A run goes on only under the config of its newest checkpoint. Two changes are allowed: other numbers of steps, where the
phases of the steps that are done stay the same, and fields of CHANGEABLE that the user names. Every checkpoint holds
the history of these changes.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.config_fields import describe as describe_fields
from mai_jax.errors import InputError
from mai_jax.training import checkpointing
from mai_jax.training.checkpointing import CheckpointReader
from mai_jax.training.train_state import learning_rate_schedule

# Fields and sections that fix the parameters, what they mean, and the stream of random numbers. Settings of optimizers
# in these sections, "adam", may change.
FIXED = (
    "method", "seed", "image_size", "generator", "discriminator", "pic.width", "lama.width", "lama.blocks",
    "lama.discriminator_width", "vgg16",
)  # fmt: skip
STEPS = ("config.main_phase.steps", "config.finetune_phase.steps")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StartOptions:
    """How training starts in its folder, besides the config.

    `continue_with` are the changeable fields, or sections, that may differ from the checkpoint's config. A new run
    takes the parameters and statistics of `init_from`, a folder with checkpoints, with @STEP for another checkpoint
    than the newest; with `init_partial`, those that fit.
    """

    continue_with: tuple[str, ...] = ()
    init_from: str = ""
    init_partial: bool = False

    def __post_init__(self) -> None:
        """Raise InputError for a name in `continue_with` that is no changeable field or section."""
        if self.init_partial and not self.init_from:
            raise InputError("--init-partial: says what --init-from takes; give --init-from=DIR, too")
        names = [field.name for field in describe_fields(Config())]
        for field in self.continue_with:
            if not any(_within(name, [field]) for name in names):
                raise InputError(f"--continue-with={field}: there is no such field; see mai config")
            if not _may_change(field):
                raise InputError(f"--continue-with={field}: may not change during a run, nor may {', '.join(FIXED)} "
                                 "(except adam); give another --workdir")


NO_CHANGES = StartOptions()


def latest(config: Config, workdir: Path, options: StartOptions = NO_CHANGES) -> CheckpointReader | None:
    """Return the newest checkpoint, or None.

    Raises InputError if it belongs to a run with another config, unless `options` and the number of steps that are done
    allow the change.
    """
    if not checkpointing.steps(workdir):
        return None
    reader = CheckpointReader(workdir)
    changes = {_field(change): change for change in config_lib.differences(reader.config, config)}
    if any(field in STEPS for field in changes):
        _check_steps(reader, config, workdir)
    refused = [field for field in changes if field not in STEPS
               and not (_may_change(field) and _within(field, options.continue_with))]
    if refused:
        flag = f", or --continue-with={','.join(name.removeprefix('config.') for name in refused)} to go on with these"
        possible = all(map(_may_change, refused))
        raise InputError(f"{workdir}: was trained with another config: {'; '.join(changes[field] for field in refused)}"
                         f"; give the same values, or another --workdir{flag if possible else ''}")
    return reader


def history(reader: CheckpointReader, config: Config) -> list[dict[str, Any]]:
    """Return the history of the run up to now: that of its checkpoint, and what `config` changes after it."""
    changes = config_lib.differences(reader.config, config)
    return reader.history + ([{"step": reader.step, "changes": changes}] if changes else [])


def describe(history: Iterable[dict[str, Any]]) -> list[str]:
    """Return one sentence for each change of a history."""
    return [f"after step {entry['step']}: {'; '.join(entry['changes'])}" for entry in history]


def log_schedule(reader: CheckpointReader, config: Config) -> None:
    """Log the learning rates from now on if the numbers of steps have changed."""
    if [phase.steps for phase in reader.config.phases.values()] == [phase.steps for phase in config.phases.values()]:
        return
    done, end = reader.step, config.total_steps
    before = float(learning_rate_schedule(reader.config)(max(done - 1, 0)))
    after = float(learning_rate_schedule(config)(done))
    shapes, first = [], 0
    for name, phase in config.phases.items():
        last = first + phase.steps
        if last > done and phase.steps:
            falls = "cosine decay to 0" if phase.schedule == "cosine" else "constant"
            shapes.append(f"{name} to step {last}: {phase.learning_rate:g}, {falls}")
        first = last
    if shapes:
        log.info("%d more steps, to step %d; learning rate: %s; it was %.3g and goes on at %.3g", end - done, end,
                 "; ".join(shapes), before, after)


def _check_steps(reader: CheckpointReader, config: Config, workdir: Path) -> None:
    """Raise InputError unless every step that is done belongs to the same phase under both configs."""
    before, after = (_done_by_phase(c, reader.step) for c in (reader.config, config))
    for name, done in before.items():
        if after[name] == done:
            continue
        setting = f"config.{name}_phase.steps={config.phases[name].steps}"
        if after[name] < done:
            raise InputError(f"{setting}: {workdir} has done {done} steps of this phase; give {done} or more, or "
                             "another --workdir")
        raise InputError(f"{setting}: {workdir} is at step {reader.step} and has ended this phase after {done} steps; "
                         f"give {done} (a later phase may have more steps), or another --workdir")


def _done_by_phase(config: Config, step: int) -> dict[str, int]:
    done = {}
    for name, phase in config.phases.items():
        done[name] = min(step, phase.steps)
        step -= done[name]
    return done


def _field(change: str) -> str:
    """Return the field of a line of `config.differences`."""
    return change.partition(":")[0]


def _may_change(field: str) -> bool:
    """Return whether a field, or at least one of a section, may change during a run."""
    return not _within(field, FIXED) or "adam" in field.split(".")


def _within(name: str, fields: Sequence[str]) -> bool:
    """Return whether the field or section `name` is one of the fields, or in one of the sections, `fields`."""
    name = name.removeprefix("config.")
    fields = [field.removeprefix("config.") for field in fields]
    return any(name == field or name.startswith(f"{field}.") for field in fields)
