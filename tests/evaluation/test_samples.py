"""A stochastic model is evaluated on several samples of each hole."""

import jax
import numpy as np
import pytest

from mai_jax import config, metrics
from mai_jax.evaluation import eval_target, evaluator
from mai_jax.evaluation.evaluator import MetricSet
from mai_jax.evaluation.protocols import Protocol
from mai_jax.evaluation.report import result_files, table4
from tests.untrained import noise_photographs, untrained_run

# Without SSIM, which takes seconds to compile.
METRIC_SET = MetricSet(Protocol("PSNR and l1", {"psnr": metrics.psnr, "l1": metrics.l1}))
NUM_SAMPLES = 3
ONE = jax.devices()[:1]
METRICS = ("psnr", "l1", "hole_psnr", "hole_l1")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Return an untrained run of PIC on three photographs of noise."""
    folder = tmp_path_factory.mktemp("run")
    photos = noise_photographs(folder / "photos", 3, 40, 40)
    return untrained_run(
        folder, method="pic", pic=config.PIC(width=4, num_samples=NUM_SAMPLES),
        data=config.Data(train=photos, test=photos, shorter_side=32),
        evaluation=config.Evaluation(edges=(0.1, 0.3, 0.5), batch_size=6))  # fmt: skip


@pytest.fixture(scope="module")
def target(workdir):
    return eval_target.checkpoint(workdir, devices=ONE)


@pytest.fixture(scope="module")
def records(target):
    return evaluator.evaluate(target.dataset, METRIC_SET, target.predict, {}, 6, ONE, target.best_row)


@pytest.fixture(scope="module")
def predicted(target):
    """Return truths, holes and samples of all pairs."""
    truth, hole = (np.stack([getattr(pair, name) for pair in target.dataset]) for name in ("truth", "hole"))
    return truth, hole, np.asarray(target.predict(truth, hole))


def test_samples_differ_and_do_not_depend_on_the_batch(target, predicted):
    truth, hole, samples = predicted
    assert samples.shape == (NUM_SAMPLES, *truth.shape)
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert (np.abs(samples[a] - samples[b]).max(axis=(1, 2, 3)) > 1e-3).all()
    order = np.array([4, 0, 2, 5, 1, 3])
    np.testing.assert_allclose(target.predict(truth[order], hole[order]), samples[:, order], atol=1e-5)
    poisoned = np.where(hole[..., None], np.uint8(7), truth)
    np.testing.assert_array_equal(target.predict(poisoned, hole), samples)


def test_samples_depend_on_the_photograph(target, predicted):
    truth, hole, samples = predicted
    changed = np.array(truth)
    valid_pixel = tuple(np.argwhere(~hole[0])[0])
    changed[0][valid_pixel] ^= 1  # almost the same photograph
    assert np.abs(np.asarray(target.predict(changed, hole))[:, 0] - samples[:, 0]).max() > 1e-3


def sample_score(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the score that PIC's authors minimise, in levels of 255."""
    p, t = prediction.astype(float), truth.astype(float)
    psnr = 20 * np.log10(255 / np.sqrt(np.mean((p - t) ** 2)))
    steps = np.hypot(p - np.roll(p, -1, axis=0), p - np.roll(p, -1, axis=1))
    return np.abs(p - t).mean() - psnr + steps.mean()


def test_rows_are_the_mean_and_the_sample_selected_by_the_truth(target, records, predicted):
    truth, hole, samples = predicted
    assert target.row == "PIC, mean of 3" and target.best_row == "PIC, best of 3 by the truth"
    single = [METRIC_SET.protocol.records(prediction, truth, hole) for prediction in samples]
    compared = [np.asarray(METRIC_SET.protocol.compared(prediction, truth, hole)) for prediction in samples]
    picked = set()
    for i, record in enumerate(records):
        scores = [sample_score(prediction[i], truth[i]) for prediction in compared]
        best = int(np.argmin(scores))
        picked.add(best)
        for name in METRICS:
            values = [sample[i][name] for sample in single]
            assert record[name] == pytest.approx(np.mean(values), abs=2e-5)
            assert record[target.best_row][name] == pytest.approx(values[best], abs=2e-5)
            assert min(values) < record[name] < max(values)
    assert len(picked) > 1, "the same sample was selected for all holes"


def test_devices_and_batches_change_no_record(workdir, records):
    devices = jax.devices()[:2]
    again = eval_target.checkpoint(workdir, devices=devices)
    found = evaluator.evaluate(again.dataset, METRIC_SET, again.predict, {}, 2, devices, again.best_row)
    for one, other in zip(records, found, strict=True):
        assert [other[name] for name in METRICS] == pytest.approx([one[name] for name in METRICS], abs=1e-3)


def test_both_rows_are_added_to_the_table_of_another_method(target, records, tmp_path):
    other = target._replace(name="other", num_samples=1, predict=lambda truth, hole: truth[None] / np.float32(255))
    result_files.write(target, tmp_path / "pic", "default", METRIC_SET, {})
    result_files.write(other, tmp_path / "other", "default", METRIC_SET, {})
    joined, result = result_files.join([tmp_path / "other", tmp_path / "pic"], "default")
    assert list(table4.methods(joined, result["method"])) == ["other", target.row, target.best_row]
    for record, expected in zip(joined, records, strict=True):
        assert record["psnr"] == "inf"
        assert record[target.row]["psnr"] == expected["psnr"]
        assert record[target.best_row] == expected[target.best_row]
