"""`mai log` and `mai plot`: every logged value is shown, and damaged logs are one line."""

import csv
import io
import json
import math
import re

import pytest

from mai_jax.cli.main import main
from mai_jax.evaluation.report import training_page
from mai_jax.training import training_log

LINES = [
    {"step": 50, "wall_time": 1.5, "generator/total": 3.0, "learning_rate": 2e-4},
    {"step": 50, "wall_time": 1.6, "validation/psnr": 20.25},
    {"step": 61, "wall_time": 2.0, "event": "after step 60: config.batch_size: 8 -> 16, <b>"},
    {"step": 100, "wall_time": 2.5, "generator/total": "nan", "learning_rate": 1e-4, "speed/steps_per_second": 30.5},
    {"step": 150, "wall_time": 3.5, "generator/total": 1.0},
]


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run & co"
    folder.mkdir()
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES) + '{"step": 200, "gen')
    return folder


def test_csv_has_a_row_per_step_and_a_column_per_scalar(run, capsys):
    assert main(["log", str(run), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["step", "wall_time", "generator/total", "learning_rate", "validation/psnr",
                             "speed/steps_per_second", "event"]
    assert [row["step"] for row in rows] == ["50", "61", "100", "150"]
    assert (rows[0]["generator/total"], rows[0]["validation/psnr"], rows[0]["event"]) == ("3", "20.25", "")
    assert rows[1]["event"] == LINES[2]["event"] and rows[1]["generator/total"] == ""
    assert rows[2]["generator/total"] == "nan" and float(rows[2]["learning_rate"]) == 1e-4


def test_the_log_is_printed_by_step(run, capsys):
    assert main(["log", str(run)]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "step 50  generator/total 3  learning_rate 0.0002  validation/psnr 20.25", f"step 61  {LINES[2]['event']}"]


def test_curves_of_several_runs_are_one_page_and_one_picture(run, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "log.jsonl").write_text(json.dumps({"step": 300, "wall_time": 1, "generator/total": 2.0}) + "\n")
    assert main(["plot", str(run), str(other), f"--output={tmp_path / 'out'}"]) == 0, capsys.readouterr().err
    page, picture = ((tmp_path / "out" / name).read_text() for name in ("curves.html", "curves.svg"))
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert captions == ["validation/psnr", "generator/total", "learning_rate", "speed/steps_per_second"]
    assert "run &amp; co: after step 60: config.batch_size: 8 -&gt; 16, &lt;b&gt;" in page and "<b>" not in page
    for text in (page, picture):
        assert "run &amp; co</" in text and "other</" in text
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
        assert "nan" not in "".join(re.findall(r' d="([^"]*)"', text))
    assert main(["plot", str(run)]) == 0 and (run / "curves.svg").is_file()


def test_lines_follow_the_values():
    logs = {"a": [{"step": step, "generator/total": value} for step, value in ((1e3, 1.0), (2e3, 0.1), (4e3, 0.01))]}
    (path,) = re.findall(r'class="line" d="M([^"]*)"', training_page.draw(logs)["generator/total"])
    (x0, y0), (x1, y1), (x2, y2) = (tuple(map(float, place.split())) for place in path.split("L"))
    assert x2 - x1 == 2 * (x1 - x0) and math.isclose(y2 - y1, y1 - y0, abs_tol=0.11)


def test_events_of_one_step_are_joined():
    lines = [{"step": 3.0, "event": "a"}, {"step": 2.0, "x": 1.0}, {"step": 3.0, "event": "b"}]
    assert training_log.by_step(lines) == [{"step": 2.0, "x": 1.0}, {"step": 3.0, "event": "a; b"}]


def test_evaluations_of_checkpoints_are_curves(run, capsys):
    for step, psnr in ((50, 20.0), (100, 24.0)):
        folder = run / "evaluations" / f"step{step}"
        folder.mkdir(parents=True)
        result = {"method": "MAI", "protocol": "default", "pairs_sha256": "0", "edges": [0.1, 0.3], "step": step}
        (folder / "result.json").write_text(json.dumps(result))
        record = {"id": "a", "hole": "b", "pair": "c", "hole_ratio": 0.2, "psnr": psnr}
        (folder / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in (
            record, record | {"hole_ratio": 0.9, "psnr": "inf"})))  # fmt: skip
    (folder.parent / "step100-lama").mkdir()
    assert main(["plot", str(run)]) == 0, capsys.readouterr().err
    page = (run / "curves.html").read_text()
    assert re.findall(r"<figcaption>(.*?)</figcaption>", page)[0] == "evaluation/psnr"
    assert len(re.findall(r'class="point" transform', page.partition("<figcaption>validation")[0])) == 2
    (folder / "result.json").write_text("{}")
    assert main(["plot", str(run)]) == 1 and "step100: holds no evaluation" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "message"), [
    (None, "log.jsonl: cannot be read"), ("[1]\n", "log.jsonl, line 1: is not a line of a training log"),
    ('{"step": 1}\n{"total": 1}\n', "line 2: is not a line"), ('{"step": 1, "a": []}\n', "line 1: is not"),
    ('{"step": 1, "event": 5}\n', "line 1: is not"), ("", "the log holds no values yet"),
])
def test_a_log_that_cannot_be_drawn_is_one_line(tmp_path, capsys, content, message):
    if content is not None:
        (tmp_path / "log.jsonl").write_text(content)
    assert main(["plot", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.glob("curves*"))
