"""A metric against the share that is hole, as a drawing."""

import math
from collections.abc import Sequence
from html import escape
from statistics import fmean
from typing import NamedTuple

from mai_jax.evaluation import drawing
from mai_jax.evaluation.drawing import Frame, colour, runs
from mai_jax.evaluation.table4 import METRICS, Interval, Record, Table, by_column, numbers

DOTS = 300  # single images that are shown
ACROSS = "share of the image that is hole"


class Point(NamedTuple):
    """A bin of one method: mean share of hole, mean of the metric and its interval."""

    ratio: float
    mean: float
    interval: Interval


Line = list[Point | None]  # None: the bin is empty, or its mean infinite


def draw(
    made: Table, records: Sequence[Record], edges: Sequence[float], metric: str, *, single_images: bool = True
) -> str:
    """For each method a line through the means of its bins, in the band of their intervals; behind them single images
    of the first method, if wanted. "" where there is nothing to draw.
    """
    groups = by_column(records, edges)[:-1]
    ratios = [fmean(record["hole_ratio"] for record in group) if group else None for group in groups]
    lines = [_points(ratios, made.means[metric][method], made.intervals[metric][method])
             for method in made.means[metric]]
    points = [point for line in lines for point in line if point]
    if not points:
        return ""
    dots = _dots([record for group in groups for record in group], metric) if single_images else []
    values = [*(end for point in points for end in point.interval), *(value for _, value in dots)]
    ticks = drawing.ticks(min(values), max(values))
    frame = Frame(edges[-1], min(ticks), max(ticks))
    layers = [drawing.axes(frame, ticks, drawing.up_to(frame.most), (METRICS[metric].title, ACROSS)),
              _scatter(frame, dots), *(_band(frame, line, i) for i, line in enumerate(lines)),
              *(_line(frame, line, i, f"{method}: ", metric)
                for i, (method, line) in enumerate(zip(made.means[metric], lines, strict=True)))]
    return drawing.svg(f"{METRICS[metric].name} against share of hole", layers)


def _points(
    ratios: Sequence[float | None], means: Sequence[float | None], intervals: Sequence[Interval | None]
) -> Line:
    # A table has one column more than there are bins: all images.
    return [None if mean is None or math.isinf(mean) else Point(ratio, mean, interval or (mean, mean))
            for ratio, mean, interval in zip(ratios, means, intervals, strict=False)]


def _dots(records: Sequence[Record], metric: str) -> list[tuple[float, float]]:
    """Share and value of records spread evenly over the shares."""
    whole = [record for record in records if math.isfinite((numbers([record], metric, None) or [math.inf])[0])]
    ordered = sorted((record["hole_ratio"], float(record[metric])) for record in whole)
    return ordered[:: math.ceil(len(ordered) / DOTS) or 1]


def _scatter(frame: Frame, dots: Sequence[tuple[float, float]]) -> str:
    places = "".join(f"M{frame.x(ratio)} {frame.y(value)}h0" for ratio, value in dots)
    return f'<path class="dots m0" d="{places}"/>'


def _band(frame: Frame, line: Line, i: int) -> str:
    def outline(run: list[Point]) -> str:
        under = [(point.ratio, point.interval[0]) for point in run]
        over = [(point.ratio, point.interval[1]) for point in reversed(run)]
        return frame.path(under + over) + "z"

    return f'<path class="band {colour(i)}" d="{"".join(map(outline, runs(line)))}"/>'


def _line(frame: Frame, line: Line, i: int, method: str, metric: str) -> str:
    """The line, and its points with what a pointer that rests on one is told."""
    show = METRICS[metric].show
    path = frame.path([point and (point.ratio, point.mean) for point in line])
    points = [f'<path class="point" transform="translate({frame.x(p.ratio)} {frame.y(p.mean)})" '
              f'd="{drawing.SHAPES[i % len(drawing.SHAPES)]}"><title>{escape(method)}{show(p.mean)} '
              f"({show(p.interval[0])} to {show(p.interval[1])}) at {p.ratio:.3f}</title></path>"
              for p in filter(None, line)]
    return f'<g class="{colour(i)}"><path class="line" d="{path}"/>{"".join(points)}</g>'
