"""Looks at a run before its first hour: photographs, holes, disk, memory, speed.

python -m mai_jax.data.doctor --config=configs/places2.py --config.data.train=DIR

Takes the flags of train.py and writes nothing. Exit code 0: nothing would stop the training; 1: something would, or its
evaluation.
"""

from absl import flags
from ml_collections import config_flags

from mai_jax import command
from mai_jax.data.doctor.examination import examine

CONFIG = config_flags.DEFINE_config_file("config", help_string="A file of configs/, e.g. configs/quickstart.py.")
WORKDIR = flags.DEFINE_string("workdir", None, "As for train.py: where checkpoints will go; runs/<config> by default.")
STEPS = flags.DEFINE_integer("steps", 20, "Steps of the dry run; 0 = compile nothing: no forecast of memory and time.",
                             lower_bound=0)


def main() -> int:
    fine = examine(command.config(CONFIG), command.workdir(WORKDIR.value, CONFIG), STEPS.value)
    return 0 if fine else 1


if __name__ == "__main__":
    command.run(main)
