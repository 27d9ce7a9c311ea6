"""Two small methods through the whole command: trained once, in one table with the evaluator's own numbers."""

import io
import json
import signal
from pathlib import Path

import jax
import pytest
from PIL import Image

from mai_jax import checkpoint, config
from mai_jax.comparison import entrants, page, paper, run, timing
from mai_jax.config import Config
from mai_jax.evaluation import runner, subject, table4
from mai_jax.evaluation.protocols import PROTOCOLS
from mai_jax.evaluation.runner import Judge
from mai_jax.training import loop
from mai_jax.training.step import data_mesh
from mai_jax.types import InputError

DOCS = Path(__file__).parents[2] / "docs"
PAPER = paper.read(DOCS, "quickstart")
NAMES = ["pconv", "mai"]
ONE = jax.devices()[:1]


def tiny(**fields) -> Config:
    return Config(**{
        "image_size": 32, "batch_size": 8, "data": config.Data(shorter_side=40),
        "generator": config.Generator(width=4, squeeze=4), "discriminator": config.Discriminator(width=4),
        "vgg16": config.VGG16(weights="random", width=4), "pic": config.PIC(samples=3),
        "train": config.Phase(steps=1), "finetune": config.Phase(steps=0),
        "evaluation": config.Evaluation(edges=(0.1, 0.3, 0.5), batch_size=6), **fields})  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a whole comparison."""
    workdir = tmp_path_factory.mktemp("tables")
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))  # as the commands do
    with pytest.MonkeyPatch.context() as patch:  # eight devices would take eight times as long on two cores
        for place in (loop, timing):
            patch.setattr(place, "data_mesh", lambda: data_mesh(ONE))
        patch.setattr(jax, "local_devices", lambda: ONE)
        patch.setattr(timing, "ROUNDS", 2)
        patch.setattr(timing, "STEPS", 1)
        assert run.compare(tiny(), NAMES, workdir, PAPER) is None
    yield workdir
    jax.config.update("jax_compilation_cache_dir", None)


def rows(text: str, metric: str) -> dict[str, list[str]]:
    """The means of a metric in a Markdown table, by method."""
    found, current = {}, ""
    for line in text.splitlines():
        if line.startswith("|"):
            title, method, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            current = title or current
            if current == metric:
                found[method] = [cell.replace("*", "").partition(" ")[0] for cell in cells]
    return found


def cells(text: str) -> dict[str, list[str]]:
    """The rows of Table 5, by method."""
    table = text.partition("## Table 5")[2]
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")][2:]
    return {method.strip(): [cell.strip() for cell in rest] for method, *rest in lines}


def test_every_row_is_what_the_evaluator_says(made):
    found = rows((made / "tables.md").read_text(), "PSNR ↑")
    assert list(found) == ["PConv", "MAI", "mean colour"]  # neither paints by lot: a row each
    assert len({tuple(row) for row in found.values()}) == 3
    alone = subject.checkpoint(made / "mai", devices=ONE)
    records = runner.measure(alone.pairs, Judge(PROTOCOLS["default"]), alone.paint, {}, alone.batch_size, ONE)
    means = table4.table(records, alone.edges, "MAI").means["psnr"]["MAI"]
    assert found["MAI"] == [f"{mean:.2f}" for mean in means]


def test_the_times_and_the_figure_are_of_every_method(made):
    times = json.loads((made / "table5.json").read_text())
    assert list(times["of_each_round"]) == ["PConv", "MAI"]
    assert all(len(taken) == 2 and min(taken) > 0 for taken in times["of_each_round"].values())
    shown = cells((made / "tables.md").read_text())
    assert shown["MAI"] == [f"{times['ms_per_image']['MAI']:.2f}", "1.00", "67.5", "1.00"]
    width, height = Image.open(io.BytesIO((made / "comparison.png").read_bytes())).size
    assert width > 4 * 192 and height > 3 * 192  # input, two methods, truth; three of the six holes


def test_a_second_start_trains_nothing(made, monkeypatch):
    before = {name: checkpoint.Reader(made / name).meta for name in NAMES}

    class Measuring(Exception):
        pass

    def stop(entrants):
        raise Measuring

    monkeypatch.setattr(run, "train", lambda *arguments: pytest.fail("trains again"))
    monkeypatch.setattr(run, "_measure", stop)
    with pytest.raises(Measuring):
        run.compare(tiny(), NAMES, made, PAPER)
    assert {name: checkpoint.Reader(made / name).meta for name in NAMES} == before
    with pytest.raises(InputError, match=r"mai: was trained with another config: config\.batch_size: 8 -> 16"):
        run.compare(tiny(batch_size=16), ["pic", "mai"], made, PAPER)  # said before the first one trains


def test_a_signal_ends_it_with_nothing_written(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(run, "train", lambda config, workdir: trained.append(workdir.name) or signal.SIGINT)
    assert run.compare(tiny(), NAMES, tmp_path, PAPER) == signal.SIGINT
    assert trained == ["pconv"] and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("fields", "names", "said"), [
    ({}, ["mai", "mia"], "--methods: there is no 'mia'; there are mai, pconv"),
    ({}, [], "--methods=: names nobody"),
    ({}, ["mai", "pic", "mai"], "--methods: mai is named twice"),
    ({"method": "pic"}, ["mai"], "config.method='pic': the methods are named by --methods"),
    ({"image_size": 33}, ["mai"], "config.image_size=33"),
    ({"vgg16": config.VGG16(weights="nowhere.safetensors")}, ["pic", "mai"], "nowhere.safetensors"),
])
def test_what_cannot_be_compared_is_said_before_anything_is_trained(tmp_path, fields, names, said):
    with pytest.raises(InputError, match=said):
        entrants.enter(tiny(**fields), names, tmp_path)


def test_all_have_the_same_budget(tmp_path):
    entered = entrants.enter(tiny(), ["pic", "edge_connect", "mai_no_attention"], tmp_path)
    assert [e.config.method for e in entered] == ["pic", "edge_connect", "mai"]
    assert {(e.config.total_steps, e.config.batch_size, e.config.seed) for e in entered} == {(1, 8, 0)}
    assert [e.title for e in entered] == ["PIC", "EdgeConnect", "MAI without attention"]


def test_the_papers_numbers_stand_beside_ours_in_its_bins():
    pair = {"id": "a", "hole": "b", "pair": "c", "hole_ratio": 0.35}
    values = {"psnr": 20.0, "ssim": 0.5, "l1": 0.1}
    result = {"method": "PIC, mean of 5", "edges": (0.1, 0.3, 0.5), "about": "Words.", "pairs": 1, "photographs": "one",
              "mai_jax": "0"}
    records = [{**pair, **values, "PIC, best of 5 by the truth": {**values, "psnr": 21.0}, "EdgeConnect": values}]
    about = {"device": "d", "jax": "1", "jaxlib": "1", "dtype": "float32", "batch_size": 8, "image_size": 32,
             "rounds": 1, "steps_per_round": 1, "included": "All."}  # fmt: skip
    times = timing.Times({"PIC": [1.0, 9.0, 3.0], "EdgeConnect": [6.0]}, about)
    entered = entrants.enter(tiny(), ["pic", "edge_connect"], Path("nowhere"))
    said = page.markdown(entered, result, records, times, paper.read(DOCS, "celeba"), "figure.png")
    whole, beside = said.split(page.THE_PAPER)
    assert rows(whole, "PSNR ↑")["PIC, best of 5 by the truth"] == ["-", "21.00", "21.00"]
    assert rows(beside, "PSNR ↑")["PIC, mean of 5"] == ["-", "20.00", "-"]
    assert rows(beside, "PSNR ↑")["EdgeConnect, paper"] == ["31.17", "25.38", "20.23"]
    assert cells(said) == {"PIC": ["3.00", "0.50", "6.3", "0.04"],
                           "EdgeConnect": ["6.00", "1.00", "56.5 + 84 = 140.5", "1.00"]}
