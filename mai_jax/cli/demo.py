"""Serve a web page on which photographs are repaired. Needs the extra `demo`: pip install 'mai_jax[demo]'.

    mai demo --model=runs/places2
    mai demo --model=lama,telea        # the page has a menu of both
"""

import argparse

from mai_jax.cli import app, model_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    model_argument.add_model(parser, "--checkpoint")
    add("--step", type=int, help="step of the checkpoint; default: the newest")
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 admits other machines")
    add("--port", type=int, default=7860, help="port to listen on")


def run(given: argparse.Namespace) -> None:
    names = given.model.split(",")

    from mai_jax.demo import server

    app.enable_compilation_cache()
    models = {name: model_argument.open_inpainter(argparse.Namespace(**vars(given) | {"model": name}))
              for name in names}  # fmt: skip
    server.serve(models, given.host, given.port)
