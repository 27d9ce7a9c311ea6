"""The examples of docs/extending.md work as they are printed."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mai_jax import config as config_lib
from mai_jax.cli.main import main
from mai_jax.config import Config, Data, Losses, Phase, Run
from mai_jax.config_fields import option
from mai_jax.errors import InputError
from mai_jax.evaluation import eval_target
from mai_jax.inference import Inpainter
from mai_jax.models import MODELS, model_class, title
from mai_jax.models.base import Aux, Model, weighted_sum
from mai_jax.training import checkpointing
from mai_jax.training.trainer import train
from tests.untrained import noise_photographs, untrained_run

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
METHOD, OWN_MODULE, LOSS, DATA_SET = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
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


def test_a_method_in_a_module_of_its_own_trains_and_is_evaluated(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(METHOD + OWN_MODULE)
    run = f"--workdir={tmp_path / 'run'}"
    small = ("image_size=32", "data.shorter_side=40", "main_phase.steps=1", "run.validation_images=1",
             "evaluation.edges=(.1,.3)")
    train_command = ["train", f"--config={tmp_path / 'mine.py'}", run, "--processes=1",
                     *(f"--config.{field}" for field in small)]
    assert main(train_command) == 1
    error = capsys.readouterr().err
    assert "'mine:Toy': cannot be imported (ModuleNotFoundError" in error and error.count("\n") == 1, error
    monkeypatch.syspath_prepend(tmp_path)
    assert main(train_command) == 0, capsys.readouterr()
    assert main(["evaluate", run]) == 0
    assert json.loads((tmp_path / "run/evaluations/step1/result.json").read_text())["method"] == "Toy"
    monkeypatch.delitem(sys.modules, "mine")
    (tmp_path / "mine.py").unlink()
    with pytest.raises(InputError, match=r"run/checkpoints/1: config\.method='mine:Toy': cannot be imported"):
        Inpainter.from_checkpoint(tmp_path / "run")


@pytest.mark.parametrize(("method", "message"), [
    ("tyo", "no such method; there are mai, "),
    ("os.path:nothing", r"cannot be imported \(AttributeError"),
    ("os:system", "system is no class"),
    ("pathlib:Path", "Path lacks prepare, make_optimizers, init, loss, predict"),
    ("a b:C", "no such method"),
])
def test_a_method_that_cannot_be_used_is_one_line(method, message):
    with pytest.raises(InputError, match=rf"^config\.method='{method}': .*{message}"):
        model_class(method)


def test_a_method_without_a_title_has_the_name_of_its_key(toy, tmp_path):
    photos = noise_photographs(tmp_path / "photos", 1, 40, 40)
    untrained_run(tmp_path / "run", method="toy", data=Data(train=photos, test=photos, shorter_side=32))
    assert eval_target.checkpoint(tmp_path / "run").name == "toy"
    assert title("toy") == "toy" and title("edge_connect") == "EdgeConnect" and title("a.b:Mine") == "Mine"


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
