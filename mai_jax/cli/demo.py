"""Serve a web page on which photographs are repaired. Needs the extra `demo`: pip install 'mai_jax[demo]'.

    mai demo --checkpoint=runs/places2
"""

import argparse

from mai_jax.cli import app
from mai_jax.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--checkpoint", metavar="DIR", help="folder that training wrote; no default")
    add("--step", type=int, help="step of the checkpoint; default: the newest")
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 admits other machines")
    add("--port", type=int, default=7860, help="port to listen on")


def run(given: argparse.Namespace) -> None:
    if given.checkpoint is None:
        raise InputError("give --checkpoint=DIR, the folder that training wrote")

    from mai_jax.demo import server
    from mai_jax.inference import Inpainter

    app.enable_compilation_cache()
    server.serve(Inpainter.from_checkpoint(given.checkpoint, given.step), given.host, given.port)
