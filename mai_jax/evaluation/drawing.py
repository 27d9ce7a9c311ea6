"""What a drawing (SVG) of lines in a frame is made of. Its colours come from drawing.css."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT = 380, 280  # units of the drawing; on a phone one is about a pixel
LEFT, RIGHT, TOP, BOTTOM = 56, 366, 10, 238  # the frame
COLOURS = 8  # .m0 to .m7; every further method starts again, with another shape
SHAPES = (  # of a point around (0, 0): disc, square, triangle, diamond, triangle upside down
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z", "M-3-3H3V3H-3z", "M0-4L4 3H-4z", "M0-4.5L4.5 0L0 4.5L-4.5 0z",
    "M0 4L4-3H-4z",
)  # fmt: skip
ROW = 24  # of a legend
FEWEST = 4  # ticks of a logarithmic axis

Places = Sequence[tuple[float, float] | None]  # (across, upwards); None: a gap in the line


class Frame(NamedTuple):
    """From numbers to places: from 0 to `most` across, values from `bottom` to `top` upwards."""

    most: float
    bottom: float
    top: float

    def x(self, across: float) -> str:
        return f"{LEFT + across / self.most * (RIGHT - LEFT):.1f}"

    def y(self, value: float) -> str:
        return f"{BOTTOM - (value - self.bottom) / (self.top - self.bottom) * (BOTTOM - TOP):.1f}"

    def path(self, places: Places) -> str:
        """A line through the places, interrupted at its gaps."""
        return "".join("M" + "L".join(f"{self.x(across)} {self.y(value)}" for across, value in run)
                       for run in runs(places))


def style() -> str:
    """The colours, light and dark, and what they are used for."""
    return Path(__file__).with_name("drawing.css").read_text("utf-8")


def svg(name: str, layers: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">{"".join(layers)}</svg>'


def sign(i: int) -> str:
    """Line and point of method `i`, for a legend."""
    return (f'<svg class="sign {colour(i)}" viewBox="-12 -6 24 12" aria-hidden="true">'
            f'<path class="line" d="M-12 0H12"/><path class="point" d="{SHAPES[i % len(SHAPES)]}"/></svg>')


def colour(i: int) -> str:
    """The class of method `i`."""
    return f"m{i % COLOURS}"


def sheet(drawings: Sequence[str], legend: Mapping[str, int]) -> str:
    """A file of its own: the drawings in two columns, and after them the names of the methods, each with its sign."""
    parts = [(drawing, WIDTH, HEIGHT, *_corner(i)) for i, drawing in enumerate(drawings)]
    left, top = _corner(len(drawings))
    names = []
    for row, (name, i) in enumerate(legend.items()):
        x, y = left + LEFT, top + TOP + ROW * row
        parts.append((sign(i), 24, 12, x, y))
        names.append(f'<text class="name" x="{x + 34}" y="{y + 10}">{escape(name)}</text>')
    placed = [part.replace("<svg ", f'<svg x="{x}" y="{y}" width="{width}" height="{height}" ', 1)
              for part, width, height, x, y in parts]
    width, height = 2 * WIDTH, max(top + TOP + ROW * len(legend), _corner(len(drawings) - 1)[1] + HEIGHT)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}"><style>{style()}</style><rect class="paper" width="100%" height="100%"/>'
            f'{"".join(placed + names)}</svg>\n')


def _corner(i: int) -> tuple[int, int]:
    """Left and top of drawing `i`."""
    return WIDTH * (i % 2), HEIGHT * (i // 2)


def axes(frame: Frame, up: Mapping[float, str], across: Mapping[float, str], titles: tuple[str, str]) -> str:
    """Both axes, with labels at the places that are given; the titles are those of the upward and the other one."""
    return "".join([
        *(f'<path class="grid" d="M{LEFT} {frame.y(tick)}H{RIGHT}"/>'
          f'<text class="tick end" x="{LEFT - 7}" y="{frame.y(tick)}" dy=".35em">{label}</text>'
          for tick, label in up.items()),
        *(f'<text class="tick middle" x="{frame.x(tick)}" y="{BOTTOM + 17}">{label}</text>'
          for tick, label in across.items()),
        f'<text class="middle" x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 6}">{escape(titles[1])}</text>',
        f'<text class="middle" transform="translate(12 {(TOP + BOTTOM) / 2}) rotate(-90)">{escape(titles[0])}</text>',
    ])


def ticks(low: float, high: float) -> dict[float, str]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, of which the outer two enclose both ends; with labels."""
    spread = (high - low) or abs(low) or 1
    high = low + spread
    power = 10.0 ** math.floor(math.log10(spread / 4))
    step = power * max(factor for factor in (1, 2, 5) if power * factor <= spread / 4)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    places = [step * i for i in range(math.floor(low / step), math.ceil(high / step) + 1)]
    return {place: f"{place:.{decimals}f}".replace("-", "\N{MINUS SIGN}") for place in places}


def up_to(most: float) -> dict[float, str]:
    """The ticks from 0 on that do not lie beyond `most`."""
    return {tick: label for tick, label in ticks(0.0, most).items() if tick <= most * 1.001}


def logarithmic_ticks(low: float, high: float) -> dict[float, str]:
    """The same of logarithms to the base ten; the labels are the numbers themselves. Both ends are positive."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        numbers = [factor * 10.0**power for power in range(first, last + 2) for factor in factors]
        start = max(i for i, number in enumerate(numbers) if number <= low)
        stop = min(i for i, number in enumerate(numbers) if number >= high and i > start)
        if stop - start >= FEWEST:
            break
    return {math.log10(number): f"{number:g}" for number in numbers[start : stop + 1]}


def runs(places: Sequence) -> Iterator[list]:
    """The stretches of a line between its gaps."""
    return (list(run) for there, run in groupby(places, lambda place: place is not None) if there)
