"""The evaluation of Telea against the pixels that OpenCV fills."""

import json

import jax
import numpy as np
import pytest

from mai_jax import config
from mai_jax.config import Config
from mai_jax.data import sources
from mai_jax.evaluation.classical import fill_telea
from mai_jax.evaluation.dataset import ImageEvalDataset
from tools.results_page import classical_rows


def test_the_records_agree_with_the_filled_pixels(tmp_path, monkeypatch):
    pytest.importorskip("cv2", reason="install the PyPI package opencv-python-headless")
    one = jax.devices()[:1]
    monkeypatch.setattr(jax, "local_devices", lambda: one)
    monkeypatch.setattr(classical_rows, "TITLES", {"telea": "Telea"})
    small = Config(image_size=32, data=config.Data(shorter_side=40),
                   evaluation=config.Evaluation(edges=(0.1, 0.3), batch_size=3))  # fmt: skip
    classical_rows.evaluate(small, tmp_path)
    pairs = ImageEvalDataset(sources.open_source(small.data, "test"), small)
    records = [json.loads(line) for line in (tmp_path / "telea" / "records.jsonl").read_text().splitlines()]
    assert json.loads((tmp_path / "telea" / "result.json").read_text())["method"] == "Telea"
    for pair, record in zip(pairs, records, strict=True):
        error = fill_telea(pair.truth, pair.hole).astype(float) - pair.truth
        assert (record["id"], record["hole"], record["pair"]) == (pair.id, pair.hole_id, pair.digest)
        assert record["psnr"] == pytest.approx(10 * np.log10(255**2 / np.mean(error**2)), abs=1e-3)
        assert record["hole_l1"] == pytest.approx(np.abs(error[pair.hole]).mean() / 255, abs=1e-5)
    before = (tmp_path / "telea" / "result.json").stat().st_mtime_ns
    classical_rows.evaluate(small, tmp_path)  # keeps existing evaluations
    assert (tmp_path / "telea" / "result.json").stat().st_mtime_ns == before
