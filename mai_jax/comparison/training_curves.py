"""How the training of all methods went, in one drawing: what was logged against the crops seen, not smoothed."""

import math
from collections.abc import Iterator, Mapping, Sequence

from mai_jax.evaluation import drawing
from mai_jax.evaluation.drawing import Frame, Places, colour

UNIT = 1000  # crops
ACROSS = "crops seen, thousands"
FEW = 20  # points of a line that are shown as such


def draw(lines: Mapping[int, Sequence[tuple[float, float]]], title: str) -> str:
    """One line per method, whose number gives its colour: (crops seen, value), values on a logarithmic axis.
    What is not finite and positive is a gap. "" where there is nothing to draw.
    """
    places = {i: [_place(*point) for point in line] for i, line in lines.items()}
    points = [point for line in places.values() for point in line if point]
    if not points:
        return ""
    values = [10**value for _, value in points]
    up = drawing.logarithmic_ticks(min(values), max(values))
    frame = Frame(max(across for across, _ in points), min(up), max(up))
    axes = drawing.axes(frame, up, drawing.up_to(frame.most), (f"{title}, log scale", ACROSS))
    return drawing.svg(f"{title} against crops seen", [axes, *_lines(frame, places)])


def _place(crops: float, value: float) -> tuple[float, float] | None:
    return (crops / UNIT, math.log10(value)) if math.isfinite(value) and value > 0 else None


def _lines(frame: Frame, places: Mapping[int, Places]) -> Iterator[str]:
    for i, line in places.items():
        shape = drawing.SHAPES[i % len(drawing.SHAPES)]
        points = [f'<path class="point" transform="translate({frame.x(across)} {frame.y(value)})" d="{shape}"/>'
                  for across, value in filter(None, line)] if len(line) <= FEW else []
        yield f'<g class="{colour(i)}"><path class="line" d="{frame.path(line)}"/>{"".join(points)}</g>'
