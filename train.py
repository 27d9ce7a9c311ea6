"""Trains a method. `python train.py --config=configs/places2.py --workdir=runs/places2`

Starting the same command again goes on from the newest checkpoint. `--config.<field>=...` overrides a setting.
`python train.py --replay=FILE` does one step again that found numbers that are not finite, on the CPU.
"""

import signal
from pathlib import Path

import jax
from absl import flags
from ml_collections import config_flags

from mai_jax import command
from mai_jax.training import processes
from mai_jax.training.loop import train
from mai_jax.training.replay import replay

CONFIG = config_flags.DEFINE_config_file("config", help_string="A file of configs/, e.g. configs/quickstart.py.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where checkpoints, logs and pictures go; runs/<config> by default.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0; see docs/running.md.")
PROCESSES = flags.DEFINE_integer("processes", None, "How many processes train together.", lower_bound=1)
PROCESS = flags.DEFINE_integer("process", None, "Which of them this is, from 0 on.", lower_bound=0)
REPLAY = flags.DEFINE_string("replay", None, "A file of a run's failures/: does that step again, and nothing else.")


def main() -> int:
    if REPLAY.value:
        jax.config.update("jax_platforms", "cpu")
        return 0 if replay(Path(REPLAY.value)) else 1
    processes.join(COORDINATOR.value, PROCESSES.value, PROCESS.value)
    config = command.config(CONFIG)
    ended_by = train(config, command.workdir(WORKDIR.value, CONFIG))
    return 130 if ended_by == signal.SIGINT else 0


if __name__ == "__main__":
    command.run(main)
