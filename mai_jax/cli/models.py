"""List the models, fetch a published one, or pack a trained one for others.

    mai models
    mai models get lama
    mai models add lama big-lama.pt
    mai models pack runs/places2 --output=places2

`get` fetches the published weights once, verifies their checksum and converts them; `add` takes a file that was fetched
by hand. They are kept in the folder that MAI_JAX_MODELS names, by default ~/.cache/mai_jax/models. No other command
fetches models. `pack` writes model.safetensors, config.json and a model card (README.md), the layout of the Hugging
Face hub, without the networks that only training uses. Every --model=DIR takes such a folder.
"""

import argparse
import logging
from pathlib import Path

from mai_jax import packaged_models
from mai_jax.cli.model_argument import CLASSICAL

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="get|add|pack")
    get = actions.add_parser("get", help="fetch a published model", description="Fetch a published model once, verify "
                             "and convert it.\n\n    mai models get lama")
    add = actions.add_parser("add", help="take a published model from a file", description="Convert a published model "
                             "from a file that was fetched by hand.\n\n    mai models add lama big-lama.pt")
    for command in (get, add):
        command.add_argument("name", metavar="NAME", help="a name that `mai models` lists")
    add.add_argument("file", type=Path, metavar="FILE", help="file of the published weights")
    pack = actions.add_parser("pack", help="write a trained model as one file with a model card",
                              description="Write model.safetensors, config.json and README.md.\n\n"
                              "    mai models pack runs/places2 --output=places2")
    pack.add_argument("model", type=Path, metavar="DIR", help="folder that training wrote")
    pack.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    pack.add_argument("--step", type=int, help="step of the checkpoint; default: the newest")
    pack.add_argument("--half", action="store_true", help="store parameters in float16: half the size")
    pack.add_argument("--licence", metavar="ID", help="licence of the weights in the model card, such as apache-2.0; "
                      "default: none")


def run(given: argparse.Namespace) -> None:
    if given.action is None:
        print(listing())
    elif given.action == "pack":
        _pack(given.model, given.output, given.step, given.licence, half=given.half)
    else:
        from mai_jax.convert import public_models

        if given.action == "get":
            public_models.get(given.name)
        else:
            public_models.add(given.name, given.file)


def listing() -> str:
    """Return a table of all models."""
    from mai_jax.inference.model_registry import PUBLIC

    size = sum(path.stat().st_size for path in packaged_models.FOLDER.iterdir())
    rows = [("name", "for", "licence", "size", "where"),
            (packaged_models.NAME, packaged_models.PURPOSE, packaged_models.LICENCE, f"{size / 1e6:.0f} MB",
             f"{packaged_models.FOLDER}, the default")]
    for name, model in PUBLIC.items():
        where = str(model.folder) if model.is_here else f"not here: mai models get {name}"
        rows.append((name, model.purpose, model.licence, f"{model.size / 1e6:.0f} MB", where))
    rows += [(name, purpose, "-", "-", "built in") for name, purpose in CLASSICAL.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)


def _pack(folder: Path, output: Path, step: int | None, licence: str | None, *, half: bool) -> None:
    from mai_jax.convert import checkpoint_folder
    from mai_jax.evaluation.report import result_files
    from mai_jax.inference import model_loading
    from mai_jax.training import packed_model

    checkpoint_folder.check(output)
    loaded = model_loading.load_model(folder, step)
    photographs = packed_model.without_places(loaded.config).data.train
    known = photographs == loaded.config.data.train
    text = f"Trained on {photographs if known else 'photographs of its author'}." if loaded.step else ""
    table = folder / result_files.FOLDER / f"step{loaded.step}" / "table4.md"  # of `mai evaluate` without flags
    if table.is_file():
        text += f"\n\n## Quality\n\n{table.read_text().strip()}"
    about = packed_model.About(output.name, text, licence)
    packed_model.write(output, loaded.config, loaded.variables, loaded.step, about, half=half)
    log.info("%s: step %d of %s, %.1f MB", output, loaded.step, folder,
             (output / packed_model.WEIGHTS).stat().st_size / 1e6)
