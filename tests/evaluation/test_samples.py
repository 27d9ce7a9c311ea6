"""A method that paints by lot is measured on several draws of each hole."""

import jax
import numpy as np
import pytest

from mai_jax import config
from mai_jax.evaluation import metrics, report, runner, subject, table4
from mai_jax.evaluation.protocols import Protocol
from mai_jax.evaluation.runner import Judge
from tests.untrained import noise_photographs, untrained_run

# Without SSIM, which takes seconds to compile.
JUDGE = Judge(Protocol("PSNR and l1", {"psnr": metrics.psnr, "l1": metrics.l1}))
DRAWS = 3
ONE = jax.devices()[:1]
METRICS = ("psnr", "l1", "hole_psnr", "hole_l1")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """An untrained PIC and three photographs of noise."""
    folder = tmp_path_factory.mktemp("run")
    photos = noise_photographs(folder / "photos", 3, 40, 40)
    return untrained_run(
        folder, method="pic", pic=config.PIC(width=4, samples=DRAWS),
        data=config.Data(train=photos, test=photos, shorter_side=32),
        evaluation=config.Evaluation(edges=(0.1, 0.3, 0.5), batch_size=6))  # fmt: skip


@pytest.fixture(scope="module")
def measured(workdir):
    return subject.checkpoint(workdir, devices=ONE)


@pytest.fixture(scope="module")
def records(measured):
    return runner.measure(measured.pairs, JUDGE, measured.paint, {}, 6, ONE, measured.best_row)


@pytest.fixture(scope="module")
def drawn(measured):
    """Truths, holes and draws of all pairs."""
    truth, hole = (np.stack([getattr(pair, name) for pair in measured.pairs]) for name in ("truth", "hole"))
    return truth, hole, np.asarray(measured.paint(truth, hole))


def test_draws_differ_and_do_not_depend_on_their_neighbours(measured, drawn):
    truth, hole, draws = drawn
    assert draws.shape == (DRAWS, *truth.shape)
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert (np.abs(draws[a] - draws[b]).max(axis=(1, 2, 3)) > 1e-3).all()
    order = np.array([4, 0, 2, 5, 1, 3])
    np.testing.assert_allclose(measured.paint(truth[order], hole[order]), draws[:, order], atol=1e-5)
    poisoned = np.where(hole[..., None], np.uint8(7), truth)
    np.testing.assert_array_equal(measured.paint(poisoned, hole), draws)


def test_two_photographs_with_one_hole_have_lots_of_their_own(measured, drawn):
    truth, hole, draws = drawn
    moved = np.array(truth)
    given = tuple(np.argwhere(~hole[0])[0])
    moved[0][given] ^= 1  # almost the same photograph
    assert np.abs(np.asarray(measured.paint(moved, hole))[:, 0] - draws[:, 0]).max() > 1e-3


def choice(painted: np.ndarray, truth: np.ndarray) -> float:
    """What PIC's authors minimise, in levels, pixel by pixel."""
    p, t = painted.astype(float), truth.astype(float)
    psnr = 20 * np.log10(255 / np.sqrt(np.mean((p - t) ** 2)))
    steps = np.hypot(p - np.roll(p, -1, axis=0), p - np.roll(p, -1, axis=1))
    return np.abs(p - t).mean() - psnr + steps.mean()


def test_rows_are_the_mean_and_the_draw_chosen_by_the_truth(measured, records, drawn):
    truth, hole, draws = drawn
    assert measured.row == "PIC, mean of 3" and measured.best_row == "PIC, best of 3 by the truth"
    single = [JUDGE.protocol.records(painted, truth, hole) for painted in draws]
    seen = [np.asarray(JUDGE.protocol.compared(painted, truth, hole)) for painted in draws]
    picked = set()
    for i, record in enumerate(records):
        scores = [choice(painted[i], truth[i]) for painted in seen]
        best = int(np.argmin(scores))
        picked.add(best)
        for name in METRICS:
            values = [draw[i][name] for draw in single]
            assert record[name] == pytest.approx(np.mean(values), abs=2e-5)
            assert record[measured.best_row][name] == pytest.approx(values[best], abs=2e-5)
            assert min(values) < record[name] < max(values)
    assert len(picked) > 1, "always the same draw: nothing was chosen"


def test_devices_and_batches_change_no_record(workdir, records):
    devices = jax.devices()[:2]
    again = subject.checkpoint(workdir, devices=devices)
    found = runner.measure(again.pairs, JUDGE, again.paint, {}, 2, devices, again.best_row)
    for one, other in zip(records, found, strict=True):
        assert [other[name] for name in METRICS] == pytest.approx([one[name] for name in METRICS], abs=1e-3)


def test_both_rows_come_along_into_the_table_of_another(measured, records, drawn, tmp_path):
    other = measured._replace(name="other", draws=1, paint=lambda truth, hole: truth[None] / np.float32(255))
    report.write(measured, tmp_path / "pic", "default", JUDGE, {})
    report.write(other, tmp_path / "other", "default", JUDGE, {})
    joined, result = report.join([tmp_path / "other", tmp_path / "pic"], "default")
    assert list(table4.methods(joined, result["method"])) == ["other", measured.row, measured.best_row]
    for record, alone in zip(joined, records, strict=True):
        assert record["psnr"] == "inf"
        assert record[measured.row]["psnr"] == alone["psnr"]
        assert record[measured.best_row] == alone[measured.best_row]
