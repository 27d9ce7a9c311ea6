"""Convert weights of the public PyTorch implementations of the baselines to a checkpoint folder.

    mai convert edge_connect --output=DIR --edge-generator=FILE --image-generator=FILE
    mai convert lama --output=DIR --generator=FILE
    mai convert pic --output=DIR --encoder=FILE --generator=FILE
    mai convert pconv --output=DIR --generator=FILE

A FILE is a state dict, .safetensors or written by torch.save; of LaMa also a training checkpoint or a TorchScript
archive. Nothing in it is executed. DIR is then used like the folder of a training, as in
`mai inpaint --model=DIR`, `mai evaluate --workdir=DIR` and `Inpainter.from_checkpoint(DIR)`. A discriminator that
is not given gets initial values: prediction does not use it. EdgeConnect then predicts as in its authors' test, with
the edge generator's edges everywhere; with --edges=hole it keeps the edges of given pixels.
"""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

import jax

from mai_jax.convert import checkpoint_folder, implementations
from mai_jax.convert.implementations import IMPLEMENTATIONS

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="implementation", required=True, metavar="|".join(IMPLEMENTATIONS))
    for name, converter in IMPLEMENTATIONS.items():
        needed = " ".join(f"--{flag}=FILE" for flag, source in converter.SOURCES.items() if source.required)
        example = f"    mai convert {name} --output=DIR {needed}"
        command = commands.add_parser(name, help=f"the public {name}",
                                      description=f"Convert weights of the public {name}.\n\n{example}")
        command.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
        for flag, source in converter.SOURCES.items():
            default = "" if source.required else "; default: initial values"
            command.add_argument(f"--{flag}", type=Path, required=source.required, metavar="FILE", dest=flag,
                                 help=f"{source.file} of its authors{default}")
        if name == "edge_connect":
            command.add_argument("--edges", choices=("everywhere", "hole"), help="where a prediction takes the edge "
                                 "generator's edges; default: everywhere, as its authors' test")
        command.add_argument("--image-size", type=int, default=256, metavar="PIXELS",
                             help="height and width at which the network was trained")


def run(given: argparse.Namespace) -> None:
    values = dict(vars(given))
    implementation, output, image_size = (values.pop(name) for name in ("implementation", "output", "image_size"))
    edges = values.pop("edges", None)
    convert(implementation, {flag: path for flag, path in values.items() if path}, output, image_size, edges)


def convert(
    implementation: str, files: Mapping[str, Path], output: Path, image_size: int, edges: str | None = None
) -> None:
    """Write the checkpoint folder `output` from the files by flag name.

    `edges` is `config.edge_connect.edges`; None = the converter's. Raises RunError.
    """
    checkpoint_folder.check(output)
    config, variables = implementations.read(implementation, files, image_size, edges)
    missing = [flag for flag in IMPLEMENTATIONS[implementation].SOURCES if flag not in files]
    if missing:
        variables = checkpoint_folder.fill_missing(config, variables)
    checkpoint_folder.write(output, config, variables)
    sizes = {network: sum(leaf.size for leaf in jax.tree.leaves(params))
             for network, params in variables["params"].items()}  # fmt: skip
    log.info("%s in %s: %s parameters%s", config.method, output, ", ".join(f"{p} {n:,}" for p, n in sizes.items()),
             f"; fresh from seed {config.seed}: {', '.join(missing)}" if missing else "")
