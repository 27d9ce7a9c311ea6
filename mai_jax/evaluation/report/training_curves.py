"""Plots of a logged scalar of several runs against the course of the training, not smoothed."""

import math
from collections.abc import Iterator, Mapping, Sequence

from mai_jax.evaluation.report import svg
from mai_jax.evaluation.report.svg import Frame, Points, colour

UNIT = 1000  # steps or crops
MAX_MARKERS = 20  # lines with more points have no markers


def draw(
    lines: Mapping[int, Sequence[tuple[float, float]]], title: str, x_name: str = "training crops", *,
    logarithmic: bool = True,
) -> str:  # fmt: skip
    """Return an SVG with one line of (x, value) per index of a run, x in thousands of `x_name`.

    Values that are not finite, or with a logarithmic y axis not positive, are gaps. Returns "" if there is nothing to
    draw.
    """
    transformed = {i: [_transform(*point, logarithmic=logarithmic) for point in line] for i, line in lines.items()}
    points = [point for line in transformed.values() for point in line if point]
    if not points:
        return ""
    values = [y for _, y in points]
    y_ticks = (svg.logarithmic_ticks(10 ** min(values), 10 ** max(values)) if logarithmic
               else svg.ticks(min(values), max(values)))
    frame = Frame(max(x for x, _ in points) or 1, min(y_ticks), max(y_ticks))
    y_title = f"{title}, log scale" if logarithmic else title
    axes = svg.axes(frame, y_ticks, svg.ticks_up_to(frame.right), (y_title, f"{x_name}, thousands"))
    return svg.svg(f"{title} against {x_name}", [axes, *_lines(frame, transformed)])


def _transform(x: float, value: float, *, logarithmic: bool) -> tuple[float, float] | None:
    if not math.isfinite(value) or (logarithmic and value <= 0):
        return None
    return x / UNIT, math.log10(value) if logarithmic else value


def _lines(frame: Frame, lines: Mapping[int, Points]) -> Iterator[str]:
    for i, line in lines.items():
        shape = svg.SHAPES[i % len(svg.SHAPES)]
        points = [f'<path class="point" transform="translate({frame.x(x)} {frame.y(y)})" d="{shape}"/>'
                  for x, y in filter(None, line)] if len(line) <= MAX_MARKERS else []
        yield f'<g class="{colour(i)}"><path class="line" d="{frame.path(line)}"/>{"".join(points)}</g>'
