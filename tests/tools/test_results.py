"""tools/results.py on synthetic records with known differences and outcomes."""

import hashlib
import json
import math
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from mai_jax import config as config_lib
from mai_jax.cli import app
from mai_jax.config import Config, Phase
from mai_jax.variants import variant
from tools import results
from tools.results_page import attention_examples, load_results

EDGES = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
RATIOS = (0.05, 0.15, 0.35, 0.55)  # of each photograph's holes
OTHERS = {"pconv": "PConv", "mai_no_attention": "MAI without attention", "telea": "Telea",
          "navier_stokes": "Navier-Stokes", "biharmonic": "biharmonic"}  # fmt: skip
ABOUT = {"device": "one thing", "jax": "1", "jaxlib": "1", "dtype": "float32", "batch_size": 8, "image_size": 64,
         "rounds": 1, "steps_per_round": 1, "included": "All."}  # fmt: skip


def evaluation(folder: Path, method: str, psnr: dict[float, list[float]]) -> None:
    """Write records and result; `psnr` has the values of three photographs by hole ratio."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [{"id": f"{i}.jpg", "hole": f"h{ratio}", "pair": "p", "hole_ratio": ratio, "psnr": psnr[ratio][i],
                "ssim": psnr[ratio][i] / 100, "l1": 0.1, "hole_l1": 1 - psnr[ratio][i] / 100,
                "mean_colour": {"psnr": 9.0, "ssim": 0.1, "l1": 0.2, "hole_l1": 0.9}}
               for i in range(3) for ratio in RATIOS]
    names = "".join(f"{r['id']}\0{r['hole']}\0{r['pair']}\n" for r in records)
    result = {"method": method, "protocol": "default", "about": "Words.", "edges": EDGES, "mai_jax": "0", "pairs": 12,
              "pairs_sha256": hashlib.sha256(names.encode()).hexdigest()}  # fmt: skip
    (folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "result.json").write_text(json.dumps(result))


def training(folder: Path, name: str, **fields: int) -> None:
    """Write config and log: 100 steps at two per second, a pause of ten seconds, 100 steps at four per second."""
    config = Config(**{"image_size": 64, "batch_size": 8, "main_phase": Phase(steps=200), **fields})
    config.vgg16.weights = "random"
    config.generator.width = 16
    config.pic.width = 8
    (folder / "config.json").write_text(json.dumps(config_lib.to_dict(variant(config, name))))
    lines = [{"step": 100, "wall_time": 50.0, "generator/total": "nan", "speed/steps_per_second": 2.0},
             {"step": 200, "wall_time": 85.0, "validation/hole_l1": 0.05},
             {"step": 200, "wall_time": 85.0, "generator/total": 0.5, "generator/hole": 0.05,
              "speed/steps_per_second": 4.0}]  # fmt: skip
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def comparison(workdir: Path, leads: dict[str, list[float]], missing: str = "", **fields: int) -> None:
    """Write a comparison: MAI has 20, 21, 22 dB in every bin, each other method less by `leads` per photograph.

    `fields` are of the config.
    """
    primary = [20.0, 21.0, 22.0]
    evaluation(workdir / "mai", "MAI", dict.fromkeys(RATIOS, primary))
    training(workdir / "mai", "mai", **fields)
    for name, method in OTHERS.items():
        if name != missing:
            values = [value - lead for value, lead in zip(primary, leads[name], strict=True)]
            evaluation(workdir / name, method, dict.fromkeys(RATIOS, values))
            if name not in results.classical_rows.TITLES:
                training(workdir / name, name, **fields)
    (workdir / "table5.json").write_text(json.dumps({"ms_per_image": {}, "of_each_round": {"MAI": [2.0]}, **ABOUT}))
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(noise).save(workdir / "comparison.png")


def make(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["tools/results.py", *map(str, arguments)])
    return app.run(results.main)


def page(monkeypatch, tmp_path: Path, leads: dict[str, list[float]], missing: str = "") -> str:
    comparison(tmp_path / "run", leads, missing)
    assert make(monkeypatch, tmp_path / "run", f"--output={tmp_path}") == 0
    return (tmp_path / "results.md").read_text()


def unwrap(text: str) -> str:
    return " ".join(text.split())


LEADS = {"pconv": [1.0, 2.0, 4.5], "mai_no_attention": [0.1, 0.2, 0.3], "telea": [1.0, 1.5, 2.0],
         "navier_stokes": [-1.0, -1.0, -1.0], "biharmonic": [2.0, 2.0, 2.0]}  # fmt: skip


def test_expectations_that_are_met(monkeypatch, tmp_path):
    text = unwrap(page(monkeypatch, tmp_path, LEADS))
    assert ("MAI better than PConv in (.1,.2], (.3,.4] and (.5,.6] by PSNR and SSIM: **met**. PSNR in (.1,.2] +2.50 "
            "(+1.00 to +4.50); PSNR in (.3,.4] +2.50 (+1.00 to +4.50); PSNR in (.5,.6] +2.50 (+1.00 to +4.50); SSIM in "
            "(.1,.2] +0.0250 (+0.0100 to +0.0450);") in text
    assert "MAI without attention in (.1,.2], (.3,.4] and (.5,.6] by PSNR and SSIM: **met**." in text
    assert ("MAI better than biharmonic by 2 dB in (.5,.6] by PSNR: **met**. PSNR in (.5,.6] +2.00 (+2.00 to "
            "+2.00).") in text
    assert "Telea in (.1,.2], (.3,.4] and (.5,.6] by LPIPS and LPIPS (AlexNet): not measured here." in text
    assert "**no**" not in text


def test_expectations_that_are_not_met(monkeypatch, tmp_path):
    leads = {"pconv": [-1.0, 2.0, 4.5],  # better in the mean, but the interval includes 0
             "mai_no_attention": [-0.1, -0.2, -0.3],  # significantly worse
             "telea": [0.8, 0.9, 1.0], "navier_stokes": [1.0, 1.0, 1.0], "biharmonic": [1.8, 1.9, 2.0]}  # fmt: skip
    text = unwrap(page(monkeypatch, tmp_path, leads))
    assert ("MAI better than PConv in (.1,.2], (.3,.4] and (.5,.6] by PSNR and SSIM: **not met**. PSNR in (.1,.2] "
            "+1.83 (\N{MINUS SIGN}1.00 to +4.50), **no**;") in text
    assert "MAI without attention in (.1,.2], (.3,.4] and (.5,.6] by PSNR and SSIM: **not met**." in text
    assert "by 2 dB in (.5,.6] by PSNR: **not met**. PSNR in (.5,.6] +1.90 (+1.80 to +2.00), **no**." in text


def test_seeds_are_averaged_and_an_expectation_is_met_by_all_or_not_at_all(monkeypatch, tmp_path):
    comparison(tmp_path / "run", LEADS)
    comparison(tmp_path / "run1", {**LEADS, "pconv": [2.0, 2.0, 2.0], "mai_no_attention": [-1.0, -1.0, -1.0]}, seed=1)
    arguments = (tmp_path / "run", tmp_path / "run1", "--name=two", f"--output={tmp_path}")
    assert make(monkeypatch, *arguments) == 0
    text = (tmp_path / "two.md").read_text()
    section = unwrap(text.partition("## Spread over seeds")[2].partition("## Table 4")[0])
    means, paired = section.split("MAI minus each other")
    assert "| PConv | 18.75 \N{PLUS-MINUS SIGN} 0.35 |" in means  # 18.5 and 19.0
    assert "| biharmonic | 19.00 |" in means  # is not trained: the same for all seeds
    assert "| PConv | ▲▲ +2.25 |" in paired and "| MAI without attention | ▲▼ \N{MINUS SIGN}0.40 |" in paired
    assert "MAI without attention in (.1,.2], (.3,.4] and (.5,.6] by PSNR and SSIM: **not met**." in unwrap(text)
    assert "(two/curves.svg)" in text and (tmp_path / "two" / "curves.svg").is_file()
    assert "--config.seed=1" in text and "python -m tools.results RUN RUN2 --name=two" in text


def test_runs_that_differ_in_more_than_the_seed_are_refused(monkeypatch, tmp_path, capsys):
    comparison(tmp_path / "run", LEADS)
    comparison(tmp_path / "other", LEADS, seed=1, batch_size=4)
    assert make(monkeypatch, tmp_path / "run", tmp_path / "other", f"--output={tmp_path}") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / 'other'}" in line and "more than the seed (config.batch_size: 8 -> 4)" in line
    comparison(tmp_path / "fewer", LEADS, missing="pconv")
    assert make(monkeypatch, tmp_path / "run", tmp_path / "fewer", f"--output={tmp_path}") == 1
    assert "train and evaluate the same ones" in capsys.readouterr().err


def test_missing_methods_have_no_rows(monkeypatch, tmp_path):
    text = page(monkeypatch, tmp_path, LEADS, missing="mai_no_attention")
    assert "MAI without attention in (.1,.2], (.3,.4] and (.5,.6] by PSNR and SSIM: not measured" in unwrap(text)
    assert "| MAI without attention" not in text
    assert "Attention of MAI" not in text  # there is no checkpoint


def test_significant_differences_are_marked(monkeypatch, tmp_path):
    text = page(monkeypatch, tmp_path, {**LEADS, "pconv": [-1.0, 2.0, 4.5]}).partition("## MAI minus the others")[2]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    names = cells[0][2:]
    assert names == ["(.01,.1]", "(.1,.2]", "(.2,.3]", "(.3,.4]", "(.4,.5]", "(.5,.6]", "all"]
    by_metric, metric = {}, ""
    for title, other, *row in cells[2:20]:
        metric = title or metric
        by_metric[metric, other] = row
    assert by_metric["PSNR ↑", "PConv"][:3] == ["+1.83 (\N{MINUS SIGN}1.00 to +4.50)"] * 2 + ["-"]
    assert by_metric["PSNR ↑", "Navier-Stokes"][6] == "▼ \N{MINUS SIGN}1.00 (\N{MINUS SIGN}1.00 to \N{MINUS SIGN}1.00)"
    assert by_metric["hole l1 ↓", "Telea"][0].startswith("▲ \N{MINUS SIGN}0.01500 (")
    assert by_metric["PSNR ↑", "biharmonic"][6] == "▲ +2.00 (+2.00 to +2.00)"
    assert by_metric["SSIM ↑", "mean colour"][0].startswith("▲ +0.1100")


def test_the_first_section_describes_the_training(monkeypatch, tmp_path):
    first = unwrap(page(monkeypatch, tmp_path, LEADS).partition("## Commands")[0])
    for part in ("MAI, PConv and MAI without attention trained on 6 photographs at 64 px",
                  "each for 200 steps of 8 crops", "on one thing; evaluated on 12 holes in 3 other photographs",
                  "image size 64 instead of 256",
                  "generator width 16 instead of 64", "random weights", "| MAI | 200 | 8 | 1,600 | 1.2 |"):
        assert part in first
    assert "PIC" not in first  # it was not trained


def test_pictures_are_small_and_self_contained(monkeypatch, tmp_path):
    monkeypatch.setitem(results.MAX_BYTES, results.FIGURE, 60_000)
    text = page(monkeypatch, tmp_path, LEADS)
    pictures = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert pictures == ["comparison.png", "curves.svg", "training.svg"]
    assert all(f"(results/{name})" in text for name in pictures)
    assert (tmp_path / "results" / "comparison.png").stat().st_size <= 60_000  # noise cannot be compressed
    for name, methods in [("curves.svg", ["MAI", *OTHERS.values(), "mean colour"]), ("training.svg", ["MAI", "PConv"])]:
        plot = (tmp_path / "results" / name).read_text()
        root = ElementTree.fromstring(plot)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        names = [element.text for element in root.iter() if element.get("class") == "name"]
        assert set(methods) <= set(names)
        assert "http" not in plot.replace("http://www.w3.org/2000/svg", "") and "nan" not in plot


def test_pictures_below_the_limit_are_lossless():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    compressed = Image.open(results.io.BytesIO(results.small_png(picture, 10_000)))
    np.testing.assert_array_equal(np.asarray(compressed), np.asarray(picture))


def test_pauses_do_not_count_as_training_time(tmp_path):
    training(tmp_path, "mai")
    log = load_results.read_log(tmp_path / "log.jsonl")
    assert load_results.seconds(log) == 100 / 2 + 100 / 4
    assert math.isnan(log[0]["generator/total"])
    assert load_results.series(log, "validation/hole_l1") == [(200, 0.05)]


def test_errors_are_one_line(monkeypatch, tmp_path, capsys):
    def error(*arguments: object) -> str:
        assert make(monkeypatch, *arguments, f"--output={tmp_path / 'out'}") == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "holds no evaluation of MAI" in error(tmp_path)
    assert "RUN" in error()
    comparison(tmp_path / "run", LEADS)
    assert "give --photographs=DIR" in error(tmp_path / "run", "--photographs=nowhere")
    (tmp_path / "run" / "table5.json").unlink()
    assert "table5.json: cannot be read" in error(tmp_path / "run")
    assert not (tmp_path / "out").exists()


def test_attention_examples_are_the_largest_holes_of_two_photographs():
    records = [{"id": name, "hole_ratio": ratio}
               for name, ratio in [("a", 0.05), ("a", 0.12), ("b", 0.14), ("b", 0.15), ("c", 0.3), ("d", 0.11)]]
    assert attention_examples.selected_indices(records) == [3, 1]
