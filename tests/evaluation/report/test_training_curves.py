"""The plotted lines agree with the logged values."""

import math
import re

from mai_jax.evaluation.report import svg, training_curves


def test_a_non_finite_value_is_a_gap():
    line = [(1000.0, 1.0), (2000.0, 0.1), (3000.0, math.nan), (4000.0, 0.01), (5000.0, 0.1)]
    (path,) = re.findall(r'class="line" d="([^"]*)"', training_curves.draw({0: line}, "loss"))
    runs = [[tuple(map(float, place.split())) for place in run.split("L")] for run in path.split("M")[1:]]
    assert [len(run) for run in runs] == [2, 2]
    (x0, y0), (x1, y1), (_, y3), (x4, y4) = runs[0] + runs[1]
    assert x1 - x0 == (x4 - x1) / 3 and y1 == y4  # proportional to the crops; equal values at equal height
    assert math.isclose(y1 - y0, y3 - y1, abs_tol=0.11)  # equal ratios at equal distances
    assert training_curves.draw({0: [(1000.0, 0.0)]}, "loss") == ""


def test_logarithmic_ticks_enclose_the_values():
    for low, high in [(0.003, 0.0871), (0.5, 0.5), (1.0, 1.0), (1.0, 10.0), (0.02, 40.0), (0.031, 0.033)]:
        ticks = svg.logarithmic_ticks(low, high)
        assert min(ticks) <= math.log10(low) + 1e-9 and max(ticks) >= math.log10(high) - 1e-9
        assert 2 <= len(ticks) <= 12
        assert all(math.isclose(10**place, float(label)) for place, label in ticks.items())
