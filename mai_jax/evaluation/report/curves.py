"""Curves of a metric against the hole ratio, as SVG."""

import math
from collections.abc import Sequence
from html import escape
from statistics import fmean
from typing import NamedTuple

from mai_jax.evaluation.report import svg
from mai_jax.evaluation.report.svg import Frame, colour, runs
from mai_jax.evaluation.report.table4 import METRICS, Interval, Record, Table, by_column, numbers

MAX_DOTS = 300  # of single images
X_TITLE = "share of the image that is hole"


class Point(NamedTuple):
    """One bin of one method: mean hole ratio, mean of the metric and its interval."""

    ratio: float
    mean: float
    interval: Interval


Line = list[Point | None]  # None: the bin is empty or its mean is infinite


def draw(
    table: Table, records: Sequence[Record], edges: Sequence[float], metric: str, *, single_images: bool = True
) -> str:
    """Return an SVG with one line per method through the means of its bins, and a band of their intervals.

    With `single_images`, dots show single images of the first method. Returns "" if there is no mean to draw.
    """
    groups = by_column(records, edges)[:-1]
    ratios = [fmean(record["hole_ratio"] for record in group) if group else None for group in groups]
    lines = [_points(ratios, table.means[metric][method], table.intervals[metric][method])
             for method in table.means[metric]]
    points = [point for line in lines for point in line if point]
    if not points:
        return ""
    dots = _dots([record for group in groups for record in group], metric) if single_images else []
    values = [*(end for point in points for end in point.interval), *(value for _, value in dots)]
    ticks = svg.ticks(min(values), max(values))
    frame = Frame(edges[-1], min(ticks), max(ticks))
    layers = [svg.axes(frame, ticks, svg.ticks_up_to(frame.right), (METRICS[metric].title, X_TITLE)),
              _scatter(frame, dots), *(_band(frame, line, i) for i, line in enumerate(lines)),
              *(_line(frame, line, i, f"{method}: ", metric)
                for i, (method, line) in enumerate(zip(table.means[metric], lines, strict=True)))]
    return svg.svg(f"{METRICS[metric].name} against hole ratio", layers)


def _points(
    ratios: Sequence[float | None], means: Sequence[float | None], intervals: Sequence[Interval | None]
) -> Line:
    # A table has an additional column for all images.
    return [None if ratio is None or mean is None or math.isinf(mean) else Point(ratio, mean, interval or (mean, mean))
            for ratio, mean, interval in zip(ratios, means, intervals, strict=False)]


def _dots(records: Sequence[Record], metric: str) -> list[tuple[float, float]]:
    """Return (hole ratio, value) of at most MAX_DOTS records with finite values, evenly spread over the hole ratios."""
    finite = [record for record in records if math.isfinite((numbers([record], metric, None) or [math.inf])[0])]
    ordered = sorted((record["hole_ratio"], float(record[metric])) for record in finite)
    return ordered[:: math.ceil(len(ordered) / MAX_DOTS) or 1]


def _scatter(frame: Frame, dots: Sequence[tuple[float, float]]) -> str:
    path = "".join(f"M{frame.x(ratio)} {frame.y(value)}h0" for ratio, value in dots)
    return f'<path class="dots m0" d="{path}"/>'


def _band(frame: Frame, line: Line, i: int) -> str:
    def outline(run: list[Point]) -> str:
        lower = [(point.ratio, point.interval[0]) for point in run]
        upper = [(point.ratio, point.interval[1]) for point in reversed(run)]
        return frame.path(lower + upper) + "z"

    return f'<path class="band {colour(i)}" d="{"".join(map(outline, runs(line)))}"/>'


def _line(frame: Frame, line: Line, i: int, method: str, metric: str) -> str:
    """Return the line, and its points with tooltips."""
    show = METRICS[metric].format
    path = frame.path([point and (point.ratio, point.mean) for point in line])
    points = [f'<path class="point" transform="translate({frame.x(p.ratio)} {frame.y(p.mean)})" '
              f'd="{svg.SHAPES[i % len(svg.SHAPES)]}"><title>{escape(method)}{show(p.mean)} '
              f"({show(p.interval[0])} to {show(p.interval[1])}) at {p.ratio:.3f}</title></path>"
              for p in filter(None, line)]
    return f'<g class="{colour(i)}"><path class="line" d="{path}"/>{"".join(points)}</g>'
