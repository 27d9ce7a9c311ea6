"""Coverage of bootstrap intervals, and paired comparisons."""

import numpy as np
import pytest

from mai_jax.errors import InputError
from mai_jax.evaluation.statistics import Paired, interval, paired


def test_coverage_equals_the_level():
    rng = np.random.default_rng(0)
    samples = rng.gamma(4, 2, size=(400, 60))  # skewed, mean 8
    for level in (0.95, 0.8):
        ends = np.array([interval(sample, level=level, resamples=500) for sample in samples])
        coverage = np.mean((ends[:, 0] <= 8) & (ends[:, 1] >= 8))
        assert level - 0.05 < coverage < level + 0.04


def test_width_agrees_with_the_central_limit_theorem():
    values = np.random.default_rng(0).normal(30, 3, size=1000)
    low, high = interval(values)
    error = values.std() / np.sqrt(len(values))
    assert (low - values.mean()) / error == pytest.approx(-1.96, abs=0.15)
    assert (high - values.mean()) / error == pytest.approx(1.96, abs=0.15)


def test_holes_of_one_photograph_count_as_one():
    """Six equal values per photograph have no more information than one; resampling of values ignores that."""
    values = np.random.default_rng(0).normal(size=50)
    repeated, ids = np.repeat(values, 6), [f"{i}.png" for i in range(50) for _ in range(6)]
    of_values, of_photographs, once = interval(repeated), interval(repeated, ids), interval(values)
    assert np.diff(of_photographs) == pytest.approx(np.diff(once), rel=0.1)
    assert np.diff(of_values) < 0.5 * np.diff(of_photographs)


def test_photographs_are_weighted_by_their_number_of_values():
    assert interval([0.0, 0.0, 0.0, 4.0], ["a", "a", "a", "b"]) == (0, 4)
    assert interval([0.0, 0.0, 0.0, 4.0], ["a", "a", "a", "b"], level=0.1) == (1, 1)


def test_the_interval_is_deterministic_and_depends_on_the_seed():
    values = np.random.default_rng(0).normal(size=100)
    assert interval(values) == interval(list(values)) != interval(values, seed=1)
    assert interval([0.25] * 7) == (0.25, 0.25)


def test_too_few_photographs_have_no_interval():
    assert interval([]) is None
    assert interval([30.0]) is None
    assert interval([30.0, 40.0], ["a", "a"]) is None
    assert interval([30.0, 40.0]) == (30, 40)


def test_many_values_are_resampled_in_blocks():
    values = np.random.default_rng(0).normal(size=100_000)
    low, high = interval(values, resamples=100)
    assert low < values.mean() < high < low + 0.02


def test_infinite_values_do_not_give_nan():
    assert interval([np.inf, np.inf]) == (np.inf, np.inf)
    assert interval([np.inf, 30.0]) == (30, np.inf)
    assert interval([np.inf] + [30.0] * 9, level=0.5) == (30, np.inf)
    assert interval([np.inf, -np.inf, 0.0]) is None
    with pytest.raises(ValueError, match="NaN"):
        interval([0.0, np.nan])


def scores(values):
    return {(f"{i}.png", 0): float(value) for i, value in enumerate(values)}


def test_identical_methods_tie():
    a = scores([30, 20, np.inf])
    assert paired(a, a, higher_is_better=True) == Paired(3, 0, (0, 0), 0.5)


def test_a_small_case_is_exact():
    a, b = scores([3, 1, 5, 2]), scores([1, 1, 2, 3])
    found = paired(a, b, higher_is_better=True)
    assert (found.pairs, found.difference, found.won) == (4, 1, 0.625)
    assert -0.5 <= found.interval[0] < 1 < found.interval[1] <= 3
    assert paired(a, b, higher_is_better=False).won == 0.375
    low, high = found.interval
    assert paired(b, a, higher_is_better=True) == Paired(4, -1, (-high, -low), 0.375)


def test_pairs_are_matched_by_key():
    a = scores(range(10))
    b = dict(reversed([(key, value - 0.5) for key, value in a.items()]))
    assert paired(a, b, higher_is_better=True) == Paired(10, 0.5, (0.5, 0.5), 1)


def test_pairing_detects_a_small_difference():
    """Photographs differ by 5 dB, the methods by 0.2 dB: only paired differences are significant."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(25, 5, size=200)
    a, b = difficulty + rng.normal(0.2, 0.3, size=200), difficulty
    assert interval(a)[0] < interval(b)[1]
    found = paired(scores(a), scores(b), higher_is_better=True)
    assert 0.1 < found.interval[0] < 0.2 < found.interval[1] < 0.3


def test_holes_of_one_photograph_are_resampled_together():
    rng = np.random.default_rng(0)
    gain = rng.normal(size=40)
    a = {(f"{i}.png", hole): gain[i] for i in range(40) for hole in range(6)}
    zero = dict.fromkeys(a, 0.0)
    found = paired(a, zero, higher_is_better=True).interval
    assert np.diff(found) == pytest.approx(np.diff(interval(gain)), rel=0.1)


def test_infinite_differences():
    assert paired(scores([np.inf, 1]), scores([2, 1]), higher_is_better=True).difference == np.inf
    found = paired(scores([np.inf, 1]), scores([2, np.inf]), higher_is_better=True)
    assert found == Paired(2, None, None, 0.5)


def test_one_pair_and_no_pairs():
    assert paired(scores([2]), scores([1]), higher_is_better=True) == Paired(1, 1, None, 1)
    assert paired({}, {}, higher_is_better=True) == Paired(0, None, None, None)


def test_different_pairs_are_rejected():
    a, b = scores([1, 2, 3]), scores([1, 2])
    with pytest.raises(InputError, match=r"1 of them .* such as \('2.png', 0\), which the second lacks"):
        paired(a, b, higher_is_better=True)
    with pytest.raises(InputError, match="which the first lacks"):
        paired(b, a, higher_is_better=True)
