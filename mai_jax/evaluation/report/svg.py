"""Elements of SVG line plots. The colours are in svg.css."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT = 380, 280  # of a plot in SVG units; on a phone one unit is about a pixel
LEFT, RIGHT, TOP, BOTTOM = 56, 366, 10, 238  # the axes' frame
COLOURS = 8  # .m0 to .m7; more methods repeat the colours with other marker shapes
SHAPES = (  # of markers around (0, 0): disc, square, triangle, diamond, inverted triangle
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z", "M-3-3H3V3H-3z", "M0-4L4 3H-4z", "M0-4.5L4.5 0L0 4.5L-4.5 0z",
    "M0 4L4-3H-4z",
)  # fmt: skip
ROW = 24  # height of a legend entry
MIN_INTERVALS = 4  # between the ticks of a logarithmic axis

Points = Sequence[tuple[float, float] | None]  # (x, y) in data units; None: a gap in the line


class Frame(NamedTuple):
    """The data range of the axes: x from 0 to `right`, y from `bottom` to `top`."""

    right: float
    bottom: float
    top: float

    def x(self, value: float) -> str:
        """Return the SVG x coordinate."""
        return f"{LEFT + value / self.right * (RIGHT - LEFT):.1f}"

    def y(self, value: float) -> str:
        """Return the SVG y coordinate."""
        return f"{BOTTOM - (value - self.bottom) / (self.top - self.bottom) * (BOTTOM - TOP):.1f}"

    def path(self, points: Points) -> str:
        """Return the data of an SVG path through the points, interrupted at gaps."""
        return "".join("M" + "L".join(f"{self.x(x)} {self.y(y)}" for x, y in run) for run in runs(points))


def style() -> str:
    """Return the style sheet with the colours, light and dark."""
    return Path(__file__).with_name("svg.css").read_text("utf-8")


def svg(name: str, layers: Sequence[str]) -> str:
    """Return an SVG element of these layers with `name` as its accessible label."""
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">{"".join(layers)}</svg>'


def legend_key(i: int) -> str:
    """Return line and marker of method `i`, for a legend."""
    return (f'<svg class="key {colour(i)}" viewBox="-12 -6 24 12" aria-hidden="true">'
            f'<path class="line" d="M-12 0H12"/><path class="point" d="{SHAPES[i % len(SHAPES)]}"/></svg>')


def colour(i: int) -> str:
    """Return the CSS class of method `i`."""
    return f"m{i % COLOURS}"


def sheet(plots: Sequence[str], legend: Mapping[str, int]) -> str:
    """Return an SVG file of the plots in two columns, followed by a legend of the methods (name to index)."""
    parts = [(plot, WIDTH, HEIGHT, *_corner(i)) for i, plot in enumerate(plots)]
    left, top = _corner(len(plots))
    names = []
    for row, (name, i) in enumerate(legend.items()):
        x, y = left + LEFT, top + TOP + ROW * row
        parts.append((legend_key(i), 24, 12, x, y))
        names.append(f'<text class="name" x="{x + 34}" y="{y + 10}">{escape(name)}</text>')
    placed = [part.replace("<svg ", f'<svg x="{x}" y="{y}" width="{width}" height="{height}" ', 1)
              for part, width, height, x, y in parts]
    width, height = 2 * WIDTH, max(top + TOP + ROW * len(legend), _corner(len(plots) - 1)[1] + HEIGHT)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}"><style>{style()}</style><rect class="paper" width="100%" height="100%"/>'
            f'{"".join(placed + names)}</svg>\n')


def _corner(i: int) -> tuple[int, int]:
    """Return left and top of plot `i`."""
    return WIDTH * (i % 2), HEIGHT * (i // 2)


def axes(frame: Frame, y_ticks: Mapping[float, str], x_ticks: Mapping[float, str], titles: tuple[str, str]) -> str:
    """Return both axes with grid, tick labels and `titles` (of y, of x)."""
    return "".join([
        *(f'<path class="grid" d="M{LEFT} {frame.y(tick)}H{RIGHT}"/>'
          f'<text class="tick end" x="{LEFT - 7}" y="{frame.y(tick)}" dy=".35em">{label}</text>'
          for tick, label in y_ticks.items()),
        *(f'<text class="tick middle" x="{frame.x(tick)}" y="{BOTTOM + 17}">{label}</text>'
          for tick, label in x_ticks.items()),
        f'<text class="middle" x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 6}">{escape(titles[1])}</text>',
        f'<text class="middle" transform="translate(12 {(TOP + BOTTOM) / 2}) rotate(-90)">{escape(titles[0])}</text>',
    ])


def ticks(low: float, high: float) -> dict[float, str]:
    """Return ticks (value to label) that enclose both ends, spaced by 1, 2 or 5 times a power of ten."""
    spread = (high - low) or abs(low) or 1
    high = low + spread
    power = 10.0 ** math.floor(math.log10(spread / 4))
    step = power * max(factor for factor in (1, 2, 5) if power * factor <= spread / 4)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    values = [step * i for i in range(math.floor(low / step), math.ceil(high / step) + 1)]
    return {value: f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}") for value in values}


def ticks_up_to(high: float) -> dict[float, str]:
    """Return ticks (value to label) from 0 to at most `high`."""
    return {tick: label for tick, label in ticks(0.0, high).items() if tick <= high * 1.001}


def logarithmic_ticks(low: float, high: float) -> dict[float, str]:
    """Return ticks (decimal logarithm of a number to its label) that enclose both ends, which are positive numbers."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        numbers = [factor * 10.0**power for power in range(first, last + 2) for factor in factors]
        start = max(i for i, number in enumerate(numbers) if number <= low)
        stop = min(i for i, number in enumerate(numbers) if number >= high and i > start)
        if stop - start >= MIN_INTERVALS:
            break
    return {math.log10(number): f"{number:g}" for number in numbers[start : stop + 1]}


def runs(points: Sequence) -> Iterator[list]:
    """Yield the runs of consecutive points between gaps (None)."""
    return (list(run) for present, run in groupby(points, lambda point: point is not None) if present)
