"""Weights of the rivals' public PyTorch implementations as a folder like that of a training.

    python -m mai_jax.models.convert edge_connect --output=DIR --edge-generator=FILE --image-generator=FILE
    python -m mai_jax.models.convert pic --output=DIR --encoder=FILE --generator=FILE
    python -m mai_jax.models.convert pconv --output=DIR --generator=FILE

A FILE is a state dict, .safetensors or written by torch.save; nothing in it is executed. `inpaint.py --checkpoint=DIR`,
`evaluate.py --workdir=DIR` and `Inpainter.from_checkpoint(DIR)` take DIR as it is. A discriminator that is not given is
a fresh one: painting does not need it.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax

from mai_jax import config as config_lib
from mai_jax import subcommands
from mai_jax.models.convert import edge_connect, folder, pconv, pic, torch_files
from mai_jax.models.convert.originals import Tensors

ORIGINALS = {"edge_connect": edge_connect, "pic": pic, "pconv": pconv}

log = logging.getLogger("mai_jax")


def convert(original: str, files: Mapping[str, Path], output: Path, image_size: int) -> None:
    """Writes `output` from the files of the flags in `files`. Raises RunError."""
    converter = ORIGINALS[original]
    folder.check(output)
    networks = {source.network: Tensors(f"--{flag}={files[flag]}", torch_files.read(files[flag]))
                for flag, source in converter.SOURCES.items() if flag in files}  # fmt: skip
    config = converter.config(networks)
    config.image_size = image_size
    config.data.shorter_side = max(config.data.shorter_side, image_size)
    config_lib.check(config)
    trees = converter.from_torch(networks, config)
    left_out = [flag for flag in converter.SOURCES if flag not in files]
    if left_out:
        trees = folder.completed(config, trees)
    folder.write(output, config, trees)
    sizes = {player: sum(leaf.size for leaf in jax.tree.leaves(own)) for player, own in trees[0].items()}
    log.info("%s in %s: %s parameters%s", config.method, output, ", ".join(f"{p} {n:,}" for p, n in sizes.items()),
             f"; fresh from seed {config.seed}: {', '.join(left_out)}" if left_out else "")


def _parser() -> subcommands.Parser:
    parser = subcommands.Parser(prog="python -m mai_jax.models.convert", description=__doc__)
    commands = parser.add_subparsers(dest="original", required=True, metavar="|".join(ORIGINALS))
    for name, converter in ORIGINALS.items():
        command = commands.add_parser(name, help=f"weights of the public {name}")
        command.add_argument("--output", type=Path, required=True, metavar="DIR", help="the folder to write")
        for flag, source in converter.SOURCES.items():
            command.add_argument(f"--{flag}", type=Path, required=source.paints, metavar="FILE", dest=flag,
                                 help=f"{source.file} of its authors" + ("" if source.paints else "; may be left out"))
        command.add_argument("--image-size", type=int, default=256, metavar="PIXELS",
                             help="of the square that the network sees; 256, at which it was trained")
    return parser


def main(arguments: Sequence[str]) -> int:
    def chosen() -> None:
        given = vars(_parser().parse_args(arguments))
        original, output, image_size = (given.pop(name) for name in ("original", "output", "image_size"))
        convert(original, {flag: path for flag, path in given.items() if path}, output, image_size)

    return subcommands.run(chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
