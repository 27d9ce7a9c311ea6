"""Write a trained method for programs without this package.

    mai export --model=DIR --output=FILE.stablehlo
    mai export --model=DIR --output=FILE.onnx
    mai export --model=DIR --output=FILE.safetensors

The ending of FILE decides the format. ONNX needs the extra `onnx`: pip install 'mai_jax[onnx]'. A safetensors file has
the weights of MAI or PConv in PyTorch's naming; mai_torch.py, written beside it, loads them with PyTorch alone.
"""

import argparse
from pathlib import Path

from mai_jax.cli import model_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    model_argument.add_model(parser, "--checkpoint", classical=False)
    add("--output", type=Path, required=True, metavar="FILE",
        help="file to write; ends in .stablehlo, .onnx or .safetensors")
    add("--step", type=int, help="step of the checkpoint; default: the newest")
    add("--size", type=int, metavar="PIXELS",
        help="height and width of the images; default: any multiples of image_size")


def run(given: argparse.Namespace) -> None:
    from mai_jax.inference import model_registry
    from mai_jax.inference.export import export

    export(model_registry.find(given.model), given.output, given.step, given.size)
