"""Check a run before it starts: photographs, holes, disk space, memory and speed. Writes nothing.

    mai doctor --config=places2 --config.data.train=DIR
    mai doctor --environment

Exit code 0: nothing would stop the training. 1: something would stop it, or its evaluation.
"""

import argparse

from mai_jax.cli import app, config_argument
from mai_jax.cli.arguments import Switch, integer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_argument.add_config(parser)
    parser.add_argument("--workdir", metavar="DIR", help="folder where checkpoints will be; default: runs/<config>")
    config_argument.add_start(parser)
    parser.add_argument("--steps", type=integer(at_least=0), default=20, metavar="N",
                        help="steps of the dry run; 0 compiles nothing and forecasts neither memory nor time")


    parser.add_argument("--environment", action=Switch,
                        help="check the installation only: versions, plugins of JAX, devices; needs no config")


def run(given: argparse.Namespace) -> int:
    if given.environment:
        from mai_jax.doctor.examine import examine_environment

        return 0 if examine_environment() else 1
    config, workdir = config_argument.load(given), config_argument.workdir(given)

    from mai_jax.doctor.examine import examine

    app.enable_compilation_cache()
    return 0 if examine(config, workdir, given.steps, config_argument.start(given)) else 1
