"""Trains a method. `python train.py --config=configs/places2.py --workdir=runs/places2`

Starting the same command again goes on from the newest checkpoint. `--config.<field>=...` overrides a setting.
"""

import signal

from absl import flags
from ml_collections import config_flags

from mai_jax import command
from mai_jax.training.loop import train

CONFIG = config_flags.DEFINE_config_file("config", help_string="A file of configs/, e.g. configs/quickstart.py.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where checkpoints, logs and pictures go; runs/<config> by default.")


def main() -> int:
    config = command.config(CONFIG)
    ended_by = train(config, command.workdir(WORKDIR.value, CONFIG))
    return 130 if ended_by == signal.SIGINT else 0


if __name__ == "__main__":
    command.run(main)
