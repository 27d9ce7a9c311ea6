"""The examples of docs/extending.md work as they are printed."""

import re
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mai_jax import config as config_lib
from mai_jax.config import Config, Data, Losses, Phase, Run
from mai_jax.config_fields import option
from mai_jax.inference import Inpainter
from mai_jax.models import MODELS
from mai_jax.models.base import Aux, Model, weighted_sum
from mai_jax.training import checkpointing
from mai_jax.training.trainer import train

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
METHOD, LOSS, DATA_SET = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
STEPS = 40


def execute(code: str, **names) -> dict:
    scope = {"jnp": jnp, **names}
    exec(compile(code, "docs/extending.md", "exec"), scope)
    return scope


@pytest.fixture
def toy(monkeypatch):
    """The method of the page, registered."""
    made = execute(METHOD)["Toy"]
    monkeypatch.setitem(MODELS, "toy", made)
    return made


def tiny(**fields) -> Config:
    return Config(method="toy", image_size=32, batch_size=8, data=Data(shorter_side=40),
                  main_phase=Phase(steps=STEPS, learning_rate=1e-2),
                  run=Run(log_every=1, save_every=1000, validation_images=1), **fields)  # fmt: skip


def logged(workdir: Path, term: str) -> list[float]:
    """The values of a term, step by step."""
    return [float(value) for value in re.findall(rf'"{term}": ([\d.e+-]+)', (workdir / "log.jsonl").read_text())]


def test_the_method_is_forty_lines():
    assert len([line for line in METHOD.splitlines() if line.strip()]) <= 40


def test_the_method_trains_saves_and_fills_a_hole(toy, tmp_path):
    assert isinstance(toy(tiny()), Model)
    assert train(tiny(), tmp_path) is None
    losses = logged(tmp_path, "generator/total")
    assert len(losses) == STEPS and np.mean(losses[-5:]) < 0.7 * losses[0]
    assert checkpointing.steps(tmp_path) == [STEPS]
    image = np.full((40, 50, 3), 128, np.uint8)
    hole = np.zeros((40, 50), bool)
    hole[10:20, 10:20] = True
    filled = Inpainter.from_checkpoint(tmp_path)(image, hole)
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    assert (filled[hole] != image[hole]).any()


def test_the_loss_term_is_weighted_and_logged(toy, tmp_path, monkeypatch):
    gradient_l1 = execute(LOSS)["gradient_l1"]

    @dataclass(slots=True)
    class WithGradient(Losses):
        gradient: float = option(0.0, "Weight of the gradient difference.")

    class WithTerm(toy):
        def loss(self, network, params, batch_stats, batch, outputs, rng):
            _, aux = super().loss(network, params, batch_stats, batch, outputs, rng)
            terms = {**aux.logs, "gradient": gradient_l1(aux.outputs["raw"], batch)}
            return weighted_sum(terms, self.config.losses), Aux(aux.outputs, {}, terms)

    monkeypatch.setitem(MODELS, "toy", WithTerm)
    config = tiny(losses=WithGradient(gradient=0.5))
    config_lib.check(config)
    train(config, tmp_path)
    total, hole, valid, gradient = (np.array(logged(tmp_path, f"generator/{term}"))
                                    for term in ("total", "hole", "valid", "gradient"))  # fmt: skip
    np.testing.assert_allclose(total, 6 * hole + valid + 0.5 * gradient, rtol=1e-5)
    assert gradient.min() > 0


def test_the_data_set_is_a_config_that_a_folder_fills(tmp_path):
    config = execute(DATA_SET)["get_config"]()
    config_lib.check(config)
    assert config.data.train == "satellite/train" and config.total_steps == 300_000
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    config.data = Data(train=str(tmp_path), test=str(tmp_path), shorter_side=256)
    config_lib.check(config)
