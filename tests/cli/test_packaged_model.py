"""The model in the package: small, described, the default, and better than the classical methods that it replaces."""

import importlib.resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mai_jax import packaged_models
from mai_jax.cli.main import main
from mai_jax.evaluation.classical import METHODS
from mai_jax.files import EXTENSIONS
from mai_jax.inference import Inpainter

MAX_BYTES = 8e6


@pytest.fixture(scope="module")
def inpainter():
    return Inpainter.from_pretrained(packaged_models.NAME)


def test_it_is_part_of_the_package_and_small():
    folder = importlib.resources.files("mai_jax.packaged_models") / packaged_models.NAME
    assert {file.name for file in folder.iterdir()} == {"README.md", "config.json", "model.safetensors"}
    assert sum(file.stat().st_size for file in Path(str(folder)).iterdir()) <= MAX_BYTES


def test_its_card_says_what_it_may_be_used_for_and_what_it_cannot_do():
    card = (packaged_models.FOLDER / "README.md").read_text()
    for part in ("research use", "## Training", "## Quality", "## Limits"):
        assert part in card


def test_it_fills_holes_better_than_classical_methods(inpainter):
    folder = Path(str(importlib.resources.files("skimage"))) / "data"
    names = [name for name in ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
             if (folder / name).is_file() and name.endswith(EXTENSIONS)]  # fmt: skip
    errors = {"model": [], "telea": [], "navier_stokes": []}
    for name in names:
        photo = np.asarray(Image.open(folder / name).convert("RGB").resize((256, 256)))
        y, x = np.mgrid[:256, :256]
        hole = sum((y - 128 - dy) ** 2 + (x - 128 - dx) ** 2 < 28**2 for dy in (-64, 64) for dx in (-64, 64)) > 0
        fills = {"model": inpainter(photo, hole)}
        fills |= {method: METHODS[method](photo, hole) for method in errors if method != "model"}
        for method, filled in fills.items():
            np.testing.assert_array_equal(filled[~hole], photo[~hole])
            errors[method].append(np.mean((filled[hole].astype(float) - photo[hole]) ** 2))
    means = {method: np.mean(np.log(values)) for method, values in errors.items()}
    assert means["model"] < min(means["telea"], means["navier_stokes"])


def test_it_is_the_default(inpainter, tmp_path, capsys):
    rng = np.random.default_rng(0)
    photo, mask = rng.integers(0, 256, (60, 80, 3), np.uint8), np.zeros((60, 80), bool)
    mask[20:30, 20:50] = True
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    paths = [f"--{name}={tmp_path / name}.png" for name in ("image", "mask", "output")]
    (tmp_path / "photo.png").rename(tmp_path / "image.png")
    assert main(["inpaint", *paths, "--blend=none"]) == 0
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "output.png")), inpainter(photo, mask))
    capsys.readouterr()
    assert main(["models"]) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(packaged_models.NAME))
    assert packaged_models.PURPOSE in row and row.endswith("the default")
