"""Ratio bins against integer arithmetic, for every count of hole pixels."""

import itertools

import numpy as np
import pytest

from mai_jax.config import Evaluation
from mai_jax.evaluation.ratio_bins import bin_of, counts_in_bin, label

EDGES = Evaluation().edges
TABLE4 = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def exact_bin(count, pixels, edges):
    """Return the bin by integer arithmetic, for edges of two decimals."""
    hundredths = [round(100 * edge) for edge in edges]
    found = [i for i in range(len(edges) - 1)
             if hundredths[i] * pixels < 100 * count <= hundredths[i + 1] * pixels]
    return found[0] if found else None


@pytest.mark.parametrize("edges", [EDGES, TABLE4, (0.0, 0.07, 0.29, 0.57, 0.58, 1.0)])
@pytest.mark.parametrize("pixels", [100, 289, 1000, 64 * 64])
def test_every_count_is_in_its_exact_bin(edges, pixels):
    for count in range(pixels + 1):
        expected = exact_bin(count, pixels, edges)
        assert bin_of(count / pixels, edges) == expected
        assert bin_of(float(np.mean(np.arange(pixels) < count)), edges) == expected
        assert bin_of(1 - (pixels - count) / pixels, edges) == expected  # 1 - 0.7 is 0.30000000000000004


def test_an_edge_belongs_to_the_bin_below():
    assert [bin_of(edge, TABLE4) for edge in TABLE4] == [None, 0, 1, 2, 3, 4]
    assert [bin_of(edge + 1e-8, TABLE4) for edge in TABLE4] == [0, 1, 2, 3, 4, None]
    assert bin_of(0.0, (0.0, 0.5, 1.0)) is None and bin_of(1.0, (0.0, 0.5, 1.0)) == 1


@pytest.mark.parametrize("pixels", [16**2, 64**2, 256**2, 1000**2, 10_000**2])
def test_counts_are_the_smallest_and_largest_of_the_bin(pixels):
    for i, (lo, hi) in enumerate(itertools.pairwise(EDGES)):
        smallest, largest = counts_in_bin(lo, hi, pixels)
        assert [bin_of(count / pixels, EDGES) for count in (smallest, largest)] == [i, i]
        assert bin_of((smallest - 1) / pixels, EDGES) == (i - 1 if i else None)
        assert bin_of((largest + 1) / pixels, EDGES) == (i + 1 if i + 2 < len(EDGES) else None)


def test_a_bin_without_a_count_is_an_error():
    assert counts_in_bin(0.1, 0.2, 5) == (1, 1)
    with pytest.raises(ValueError, match=r"5 pixels has a share in \(\.21,\.3\]"):
        counts_in_bin(0.21, 0.3, 5)


def test_labels_are_those_of_the_paper():
    assert [label(lo, hi) for lo, hi in [(0.1, 0.2), (0.01, 0.1), (0.0, 0.5), (0.5, 1.0)]] == [
        "(.1,.2]", "(.01,.1]", "(0,.5]", "(.5,1]"]
