"""Plots of a logged scalar of all methods against the number of training crops, not smoothed."""

import math
from collections.abc import Iterator, Mapping, Sequence

from mai_jax.evaluation.report import svg
from mai_jax.evaluation.report.svg import Frame, Points, colour

UNIT = 1000  # crops
X_TITLE = "training crops, thousands"
MAX_MARKERS = 20  # lines with more points have no markers


def draw(lines: Mapping[int, Sequence[tuple[float, float]]], title: str) -> str:
    """Return an SVG with one line of (crops, value) per method index, with a logarithmic y axis.

    Values that are not finite and positive are gaps. Returns "" if there is nothing to draw.
    """
    transformed = {i: [_transform(*point) for point in line] for i, line in lines.items()}
    points = [point for line in transformed.values() for point in line if point]
    if not points:
        return ""
    values = [10**y for _, y in points]
    y_ticks = svg.logarithmic_ticks(min(values), max(values))
    frame = Frame(max(x for x, _ in points), min(y_ticks), max(y_ticks))
    axes = svg.axes(frame, y_ticks, svg.ticks_up_to(frame.right), (f"{title}, log scale", X_TITLE))
    return svg.svg(f"{title} against training crops", [axes, *_lines(frame, transformed)])


def _transform(crops: float, value: float) -> tuple[float, float] | None:
    return (crops / UNIT, math.log10(value)) if math.isfinite(value) and value > 0 else None


def _lines(frame: Frame, lines: Mapping[int, Points]) -> Iterator[str]:
    for i, line in lines.items():
        shape = svg.SHAPES[i % len(svg.SHAPES)]
        points = [f'<path class="point" transform="translate({frame.x(x)} {frame.y(y)})" d="{shape}"/>'
                  for x, y in filter(None, line)] if len(line) <= MAX_MARKERS else []
        yield f'<g class="{colour(i)}"><path class="line" d="{frame.path(line)}"/>{"".join(points)}</g>'
