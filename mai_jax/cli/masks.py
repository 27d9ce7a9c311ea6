"""Draw, list or extract a benchmark of masks.

    mai masks make --output=DIR --size=256 --per-bin=100 --seed=0
    mai masks bin DIR --size=256
    mai masks coco instances_val2017.json --output=DIR --size=256

`make` draws masks with exact hole ratios; the same command writes the same bytes on any machine. `bin` lists the mask
files of a folder by hole ratio and copies nothing; run again, it replaces its list. `coco` writes masks
of the segments of a COCO or LVIS annotation file. All write a manifest, which `mai evaluate --holes` reads.
"""

import argparse
from pathlib import Path

from mai_jax.cli.arguments import add_mask_means
from mai_jax.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = Config()
    commands = parser.add_subparsers(dest="command", required=True, metavar="make|bin|coco")
    make = commands.add_parser("make", help="draw a set",
                               description="Draw a set of masks.\n\n    mai masks make --output=DIR --per-bin=100")
    make.add_argument("--output", type=Path, required=True, metavar="DIR", help="an empty or a new folder")
    make.add_argument("--size", type=int, default=defaults.image_size, metavar="PIXELS", help="height and width")
    make.add_argument("--per-bin", type=int, required=True, metavar="N",
                      help="holes of each ratio bin that touch the border, and as many that do not")
    make.add_argument("--seed", type=int, default=0, help="seed of the strokes")
    listing = commands.add_parser("bin", help="list a folder",
                                  description="List the mask files of a folder.\n\n    mai masks bin DIR --size=256")
    listing.add_argument("folder", metavar="DIR", help="folder of mask files, searched recursively")
    listing.add_argument("--output", type=Path, metavar="FILE", help="the manifest; default: DIR/manifest.jsonl")
    listing.add_argument("--size", type=int, metavar="PIXELS",
                         help="height and width to which masks are resized, which must be the image size of the run; "
                              "default: as they are")
    add_mask_means(listing, "what white means in the files")
    coco = commands.add_parser("coco", help="write the segments of COCO or LVIS",
                               description="Write object-shaped masks, the segments of an annotation file.\n\n"
                               "    mai masks coco instances_val2017.json --output=DIR --size=256")
    coco.add_argument("path", type=Path, metavar="FILE", help="annotation file (.json) of COCO or LVIS")
    coco.add_argument("--output", type=Path, required=True, metavar="DIR", help="an empty or a new folder")
    coco.add_argument("--size", type=int, default=defaults.image_size, metavar="PIXELS", help="height and width")
    coco.add_argument("--per-bin", type=int, metavar="N", help="holes of each ratio bin at most; default: all")
    for command in (make, listing, coco):
        command.add_argument("--edges", type=_numbers, default=defaults.evaluation.edges, metavar="NUMBER,...",
                             help="edges of the ratio bins")


def run(given: argparse.Namespace) -> None:
    from mai_jax.evaluation.mask_benchmark import coco, generation, indexing

    values = vars(given)
    command = values.pop("command")
    if command == "make":
        generation.make(**values)
    elif command == "bin":
        indexing.index(**values)
    else:
        coco.make(**values)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))
