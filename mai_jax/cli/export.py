"""Write a trained method as one file that runs without this package.

    mai export --model=DIR --output=FILE.stablehlo
    mai export --model=DIR --output=FILE.onnx --size=512

The ending of FILE decides the format. ONNX needs the extra `onnx`: pip install 'mai_jax[onnx]'.
"""

import argparse
from pathlib import Path

from mai_jax.cli import model_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    model_argument.add_model(parser, "--checkpoint", classical=False)
    add("--step", type=int, help="step of the checkpoint; default: the newest")
    add("--output", type=Path, required=True, metavar="FILE", help="file to write; ends in .stablehlo or .onnx")
    add("--size", type=int, metavar="PIXELS",
        help="height and width of the images; default: any multiple of image_size in StableHLO, image_size in ONNX")


def run(given: argparse.Namespace) -> None:
    from mai_jax.inference import model_registry
    from mai_jax.inference.export import export

    export(model_registry.find(given.model), given.output, given.step, given.size)
