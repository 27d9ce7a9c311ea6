"""Train a method.

    mai train --config=quickstart
    mai train --config=configs/places2.py:pic --workdir=runs/places2_pic --config.batch_size=12
    mai train --replay=runs/places2/failures/1234.safetensors

The same command resumes from the newest checkpoint of its workdir; with more steps in a phase that has not ended, it
goes on to them. --replay computes one step with non-finite values again, on the CPU, and names the first array that is
not finite. See docs/training.md.
"""

import argparse
import logging
import signal
from pathlib import Path

from mai_jax.cli import app, config_argument
from mai_jax.cli.arguments import integer

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_argument.add_config(parser)
    parser.add_argument("--workdir", metavar="DIR",
                        help="folder of checkpoints, logs and validation pictures; default: runs/<config>")
    config_argument.add_start(parser)
    parser.add_argument("--coordinator", metavar="HOST:PORT",
                        help="address of process 0; default: one process, or what JAX detects (see docs/running.md)")
    parser.add_argument("--processes", type=integer(at_least=1), metavar="N",
                        help="number of processes that train together; default: as --coordinator")
    parser.add_argument("--process", type=integer(at_least=0), metavar="INDEX",
                        help="index of this process, from 0; default: as --coordinator")
    parser.add_argument("--replay", metavar="FILE",
                        help="a file of a run's failures/: compute that step again and nothing else; default: train")


def run(given: argparse.Namespace) -> int:
    import jax

    from mai_jax import accelerators
    from mai_jax.training import distributed
    from mai_jax.training.nonfinite import replay
    from mai_jax.training.trainer import train

    app.enable_compilation_cache()
    if given.replay:
        jax.config.update("jax_platforms", "cpu")
        return 0 if replay(Path(given.replay)) else 1
    config, workdir = config_argument.load(given), config_argument.workdir(given)
    options = config_argument.start(given)
    distributed.initialize(given.coordinator, given.processes, given.process)
    if distributed.is_main_process() and (sentence := accelerators.unused()):
        log.warning("%s", sentence)
    ended_by = train(config, workdir, options)
    return 130 if ended_by == signal.SIGINT else 0
