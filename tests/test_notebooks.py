"""The cells of docs/notebooks/ run, with a tiny model and few photographs, and are saved without output."""

import ast
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import mai_jax
from mai_jax.data import sources
from tests.tiny_model import tiny_config
from tests.untrained import untrained_run

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
CELLS = {path.stem: json.loads(path.read_text())["cells"] for path in sorted(FOLDER.glob("*.ipynb"))}
DISPLAY = ModuleType("IPython.display")  # of Jupyter, which the tests do without
DISPLAY.SVG = lambda filename: Path(filename).read_text()


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Return a function that runs a notebook in an empty folder and returns its variables and the values it shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mai_jax, "load_config", lambda name: tiny_config("sample_photos", 2))
    monkeypatch.setitem(sources.SAMPLE_PHOTOS, "train", ("chelsea.png",))  # the others are slow to decode
    monkeypatch.setitem(sources.SAMPLE_PHOTOS, "test", ("chelsea.png",))
    monkeypatch.setitem(sys.modules, "IPython.display", DISPLAY)

    def run_cells(name: str) -> tuple[dict, list]:
        scope, shown = {}, []
        for cell in CELLS[name]:
            if cell["cell_type"] != "code":
                continue
            *statements, last = ast.parse("".join(cell["source"]).replace("STEPS = 400", "STEPS = 20")).body
            ends_in_value = isinstance(last, ast.Expr)
            exec(compile(ast.Module(statements if ends_in_value else [*statements, last], []), name, "exec"), scope)
            if ends_in_value and (value := eval(compile(ast.Expression(last.value), name, "eval"), scope)) is not None:
                shown.append(value)
        return scope, shown

    return run_cells


def test_a_photograph_is_repaired(run, monkeypatch):
    monkeypatch.setattr(mai_jax, "train", lambda config, folder: untrained_run(Path(folder), method=config.method))
    scope, (photograph, with_hole, filled, quality) = run("repair")
    hole = scope["hole"]
    assert 0.01 < hole.mean() < 0.1
    np.testing.assert_array_equal(np.asarray(with_hole)[hole], 255)
    np.testing.assert_array_equal(np.asarray(filled)[~hole], np.asarray(photograph)[~hole])
    assert quality.keys() == {"model", "mean colour"} and all(map(np.isfinite, quality.values()))


def test_a_folder_is_trained_on_and_its_curves_are_drawn(run, capsys):
    _, (curves, losses, picture) = run("train")
    picture.load()  # and close the file
    assert curves.startswith("<svg ") and all(name in curves for name in ("generator/hole", "validation/psnr"))
    assert list(losses) == list(range(1, 21)) and picture.size[0] > 3 * 32
    assert re.search(r"PSNR ↑ +Tiny +\d", capsys.readouterr().out)


@pytest.mark.parametrize("name", CELLS)
def test_no_output_is_saved(name):
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in CELLS[name]
               if cell["cell_type"] == "code")  # fmt: skip
