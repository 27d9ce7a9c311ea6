"""A metric against the share that is hole, as a drawing (SVG) that takes its colours from the page around it."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from statistics import fmean
from typing import NamedTuple

from mai_jax.evaluation.table4 import METRICS, Interval, Record, Table, by_column, numbers

WIDTH, HEIGHT = 380, 280  # units of the drawing; on a phone one is about a pixel
LEFT, RIGHT, TOP, BOTTOM = 56, 366, 10, 238  # the frame
DOTS = 300  # single images that are shown
COLOURS = 6  # of the page, .m0 to .m5; every further method starts again, with another shape
SHAPES = (  # of a point around (0, 0): disc, square, triangle, diamond, triangle upside down
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z", "M-3-3H3V3H-3z", "M0-4L4 3H-4z", "M0-4.5L4.5 0L0 4.5L-4.5 0z",
    "M0 4L4-3H-4z",
)  # fmt: skip


class Point(NamedTuple):
    """A bin of one method: mean share of hole, mean of the metric and its interval."""

    ratio: float
    mean: float
    interval: Interval


Line = list[Point | None]  # None: the bin is empty, or its mean infinite


def draw(made: Table, records: Sequence[Record], edges: Sequence[float], metric: str) -> str:
    """For each method a line through the means of its bins, in the band of their intervals; behind them single images
    of the first method. "" where there is nothing to draw.
    """
    groups = by_column(records, edges)[:-1]
    ratios = [fmean(record["hole_ratio"] for record in group) if group else None for group in groups]
    lines = [_points(ratios, made.means[metric][method], made.intervals[metric][method])
             for method in made.means[metric]]
    points = [point for line in lines for point in line if point]
    if not points:
        return ""
    dots = _dots([record for group in groups for record in group], metric)
    ticks = _ticks(*_ends([*(end for point in points for end in point.interval), *(value for _, value in dots)]))
    frame = Frame(edges[-1], ticks[0], ticks[-1])
    layers = [_axes(frame, ticks, METRICS[metric].title), _scatter(frame, dots),
              *(_band(frame, line, i) for i, line in enumerate(lines)),
              *(_line(frame, line, i, f"{method}: ", metric)
                for i, (method, line) in enumerate(zip(made.means[metric], lines, strict=True)))]
    name = f"{METRICS[metric].name} against share of hole"
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">{"".join(layers)}</svg>'


def sign(i: int) -> str:
    """Line and point of method `i`, for a legend."""
    return (f'<svg class="sign m{i % COLOURS}" viewBox="-12 -6 24 12" aria-hidden="true">'
            f'<path class="line" d="M-12 0H12"/><path class="point" d="{SHAPES[i % len(SHAPES)]}"/></svg>')


class Frame(NamedTuple):
    """From numbers to places: shares from 0 to `most` across, values from `bottom` to `top` upwards."""

    most: float
    bottom: float
    top: float

    def x(self, ratio: float) -> str:
        return f"{LEFT + ratio / self.most * (RIGHT - LEFT):.1f}"

    def y(self, value: float) -> str:
        return f"{BOTTOM - (value - self.bottom) / (self.top - self.bottom) * (BOTTOM - TOP):.1f}"


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


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, of which the outer two enclose both ends."""
    spread = (high - low) or abs(low) or 1
    high = low + spread
    power = 10.0 ** math.floor(math.log10(spread / 4))
    step = power * max(factor for factor in (1, 2, 5) if power * factor <= spread / 4)
    return [step * i for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _axes(frame: Frame, ticks: Sequence[float], title: str) -> str:
    across = [ratio for ratio in _ticks(0.0, frame.most) if ratio <= frame.most * 1.001]
    return "".join([
        *(f'<path class="grid" d="M{LEFT} {frame.y(tick)}H{RIGHT}"/>'
          f'<text class="tick end" x="{LEFT - 7}" y="{frame.y(tick)}" dy=".35em">{label}</text>'
          for tick, label in zip(ticks, _labels(ticks), strict=True)),
        *(f'<text class="tick middle" x="{frame.x(ratio)}" y="{BOTTOM + 17}">{label}</text>'
          for ratio, label in zip(across, _labels(across), strict=True)),
        f'<text class="middle" x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 6}">share of the image that is hole</text>',
        f'<text class="middle" transform="translate(12 {(TOP + BOTTOM) / 2}) rotate(-90)">{escape(title)}</text>',
    ])


def _labels(ticks: Sequence[float]) -> list[str]:
    """All with as many decimals as the step between them has."""
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return [f"{tick:.{decimals}f}".replace("-", "\N{MINUS SIGN}") for tick in ticks]


def _scatter(frame: Frame, dots: Sequence[tuple[float, float]]) -> str:
    places = "".join(f"M{frame.x(ratio)} {frame.y(value)}h0" for ratio, value in dots)
    return f'<path class="dots m0" d="{places}"/>'


def _band(frame: Frame, line: Line, i: int) -> str:
    def outline(run: list[Point]) -> str:
        under = [(point.ratio, point.interval[0]) for point in run]
        over = [(point.ratio, point.interval[1]) for point in reversed(run)]
        return "M" + "L".join(f"{frame.x(ratio)} {frame.y(value)}" for ratio, value in under + over) + "z"

    return f'<path class="band m{i % COLOURS}" d="{"".join(map(outline, _runs(line)))}"/>'


def _line(frame: Frame, line: Line, i: int, method: str, metric: str) -> str:
    """The line, and its points with what a pointer that rests on one is told."""
    show = METRICS[metric].show
    path = "".join("M" + "L".join(f"{frame.x(p.ratio)} {frame.y(p.mean)}" for p in run) for run in _runs(line))
    points = [f'<path class="point" transform="translate({frame.x(p.ratio)} {frame.y(p.mean)})" '
              f'd="{SHAPES[i % len(SHAPES)]}"><title>{escape(method)}{show(p.mean)} '
              f"({show(p.interval[0])} to {show(p.interval[1])}) at {p.ratio:.3f}</title></path>"
              for run in _runs(line) for p in run]
    return f'<g class="m{i % COLOURS}"><path class="line" d="{path}"/>{"".join(points)}</g>'


def _runs(line: Line) -> Iterator[list[Point]]:
    """The stretches of a line between its gaps."""
    return (list(run) for there, run in groupby(line, bool) if there)
