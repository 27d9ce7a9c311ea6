"""The names of `import mai_jax`, and the code of docs/python.md as it is printed."""

import re
from pathlib import Path

import numpy as np
import pytest

import mai_jax
from mai_jax.config import Config, Generator
from mai_jax.errors import InputError
from mai_jax.evaluation import eval_target, evaluator, protocols
from mai_jax.models.base import Model
from tests.tiny_model import tiny_config
from tests.untrained import noise_photographs

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The variables of the page after its code has run, with tiny configs for the quickstart's and noise as data."""
    folder = tmp_path_factory.mktemp("page")
    photographs = noise_photographs(folder / "photographs", 2, 32, 32)
    network = Generator(width=4)
    configs = iter([tiny_config(photographs, 1), tiny_config(photographs, 1, method="pconv", generator=network)])
    scope: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(mai_jax, "load_config", lambda name: next(configs))
        for code in BLOCKS:
            code = code.replace("steps = 400", "steps = 2").replace('"sample_photos"', repr(photographs))
            exec(compile(code, "docs/python.md", "exec"), scope)
    return scope


def test_the_page_lists_the_names():
    assert re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE) and sorted(mai_jax.__all__) == mai_jax.__all__
    assert set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)) == set(mai_jax.__all__) <= set(dir(mai_jax))


def test_a_run_is_trained_evaluated_and_used(results):
    hole, image = results["hole"], results["image"]
    assert "PSNR" in str(results["evaluation"]) and "Tiny" in results["evaluation"].table.means["psnr"]
    assert results["step_number"] == 2 and results["filled"].shape == image.shape
    np.testing.assert_array_equal(results["filled"][~hole], image[~hole])


def test_a_network_trains_in_another_loop(results):
    batch, image = results["batch"], results["completion"].image
    assert np.isfinite(results["value"]) and int(results["opt_state"][0].count) == 3
    np.testing.assert_array_equal(image * batch.valid, batch.image * batch.valid)


def test_a_function_is_measured_like_a_run(results):
    config = results["config"]
    target = eval_target.function(lambda images, holes: results["mean_colour"](images, holes)[None], config)
    metric_set = evaluator.MetricSet(protocols.PROTOCOLS["default"])
    assert results["grey"].records == evaluator.evaluate(target.dataset, metric_set, target.predict, {}, 1)
    assert results["psnr"] == pytest.approx(np.mean([record["psnr"] for record in results["grey"].records]))


def test_create_model_checks_the_config():
    config = mai_jax.load_config("quickstart:pconv")
    assert isinstance(mai_jax.create_model(config, "finetune"), Model)
    config.batch_size = 0
    with pytest.raises(InputError, match=r"config\.batch_size=0"):
        mai_jax.create_model(config)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"method": "runs/none"}, "runs/none: no such folder"),
    ({"method": "runs/mine", "config": Config()}, "runs/mine has its own"),
    ({"method": print}, "a function needs one"),
    ({"method": "runs/mine", "protocol": "best"}, "protocol='best': no such protocol; there are default, "),
])
def test_an_argument_that_cannot_be_used_is_one_line(arguments, message):
    with pytest.raises(InputError, match=message):
        mai_jax.evaluate(**arguments)
