"""The HTML report of an evaluation: means, paired differences, curves, pictures and definitions on one page.

The page is self-contained: style, script and pictures are inline, and a content security policy forbids all requests
and all other scripts. External text, such as file names, is escaped.
"""

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mai_jax.evaluation.ratio_bins import bin_of, label
from mai_jax.evaluation.report import curves, svg, table4
from mai_jax.evaluation.report.table4 import METRICS, Metric, Record, Table
from mai_jax.evaluation.statistics import Paired

Pixels = UInt8[np.ndarray, "h w 3"]
Key = tuple[str, str]

RANKS = ("best", "median", "worst")
FORMULAS = {  # p = prediction, t = truth
    "psnr": "10 log₁₀(255² / mean of (p - t)²), in dB; ∞ for identical images.",
    "ssim": "mean over windows of (2 μₚ μₜ + c₁)(2 σₚₜ + c₂) / ((μₚ² + μₜ² + c₁)(σₚ² + σₜ² + c₂)), with "
            "c₁ = (0.01 · 255)² and c₂ = (0.03 · 255)². The windows are defined by the protocol.",
    "l1": "absolute differences |p - t| as a fraction; the denominator is defined by the protocol.",
    "hole_psnr": "PSNR over the hole pixels only.",
    "hole_l1": "mean of |p - t| / 255 over the hole pixels only.",
    "lpips": "squared distances of unit-length VGG-16 features, weighted as published, summed over five layers.",
    "lpips_alex": "squared distances of unit-length AlexNet features, weighted as published, summed over five layers.",
}  # fmt: skip
READING = {
    "Bins": "(lo, hi] by the share of pixels that are hole; “all”: the images of all bins. A dash: no image, or an "
            "image without this number.",
    "Intervals": "95 % bootstrap intervals of the mean, resampling images with all of their holes: the variation "
                 "between test images, not between training runs.",
    "Differences": "computed per image and hole, then averaged, so that the difficulty of the images cancels. A tie "
                   "counts as half a win.",
    "Pictures": "the best, the median and the worst by {} in the first, the middle and the last bin with images. "
                "Lossless.",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """An example to show: rank (one of RANKS), record, input with the hole marked, result and truth."""

    rank: str
    record: Record
    input: Pixels
    result: Pixels
    truth: Pixels


@dataclass(frozen=True)
class Report:
    """The content of a page.

    `method` is the name of the evaluated method, `stamp` its provenance by name, `definitions` the protocol in words,
    with an empty line between paragraphs.
    """

    title: str
    method: str
    dataset: str
    protocol: str
    edges: Sequence[float]
    records: Sequence[Record]
    cases: Sequence[Case]
    stamp: Mapping[str, str]
    definitions: str


def key(record: Record) -> Key:
    """Return the unique key of a record: the id of the image, and the id of the hole or else its ratio."""
    return str(record["id"]), str(record.get("hole", record["hole_ratio"]))


def choose_cases(records: Sequence[Record], edges: Sequence[float]) -> dict[Key, str]:
    """Return the keys of the records to show, with their rank: up to three in the first, middle and last used bin.

    They are ranked per bin: over all bins, the best would have the smallest hole and the worst the largest.
    """
    metric = _ranking_metric(records)
    chosen: dict[Key, str] = {}
    bins = [group for group in table4.by_column(records, edges)[:-1] if group]
    for i in sorted({0, len(bins) // 2, len(bins) - 1}) if bins else ():
        ranked = sorted((record for record in bins[i] if table4.numbers([record], metric, None)),
                        key=lambda record: (float(record[metric]), key(record)))
        if ranked:
            picked = {"worst": ranked[0], "best": ranked[-1], "median": ranked[len(ranked) // 2]}
            chosen |= {key(picked[rank]): rank for rank in reversed(RANKS)}
    return chosen


def page(report: Report) -> str:
    """Return the HTML page. Raises InputError as `table4.table`."""
    table = table4.table(report.records, report.edges, report.method)
    sections = {
        "Means": _means(table),
        "Differences": _differences(report, table),
        "Curves": _curves(report, table),
        "Pictures": _pictures(report),
        "Definitions": _definitions(report, table),
    }
    page_style, script = (Path(__file__).with_name(f"html_page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    style = f"{svg.style()}\n{page_style}"
    policy = (f"default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
              f"style-src {_digest(style)}; script-src {_digest(script)}")
    links = "".join(f'<a href="#{name.lower()}">{name}</a>' for name in sections)
    body = "".join(f'<section id="{name.lower()}"><h2>{name}</h2>{content}</section>\n'
                   for name, content in sections.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(report.title)}</title>
<style>{style}</style>
</head>
<body>
{_header(report)}
<nav>{links}</nav>
<main>
{body}</main>
<script>{script}</script>
</body>
</html>
"""


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _header(report: Report) -> str:
    images = len({record["id"] for record in report.records})
    facts = {"Method": report.method, "Data set": report.dataset, "Protocol": report.protocol,
             "Measured": f"{images:,} images, {len(report.records):,} holes"} | dict(report.stamp)
    return f"<header><h1>{escape(report.title)}</h1>{_list(facts)}</header>"


def _list(facts: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>' for k, v in facts.items())}</dl>"


def _means(table: Table) -> str:
    def cell(metric: str, method: str, i: int) -> str:
        shown = METRICS[metric].format(table.means[metric][method][i])
        interval = table.intervals[metric][method][i]
        mean = f"<b>{shown}</b>" if method in table.best(metric, i) else shown
        return mean + (f"<small>{_interval(METRICS[metric], interval)}</small>" if interval else "")

    rows = {metric: {method: [cell(metric, method, i) for i in range(len(table.columns))] for method in methods}
            for metric, methods in table.means.items()}
    notes = "".join(f"<p>{escape(note)}</p>" for note in table.notes)
    return "<p>Means over images. Bold: the best of a column. Small: the 95 % interval of the mean.</p>" \
           + _table(table, rows, "means") + notes


def _differences(report: Report, table: Table) -> str:
    differences = table4.differences(report.records, report.edges, report.method)
    rows = {metric: {f"\N{MINUS SIGN} {other}": [_difference(METRICS[metric], paired) for paired in row]
                     for other, row in others.items()}
            for metric, others in differences.items() if others}
    if not rows:
        return f"<p>The records have no other method than {escape(report.method)}.</p>"
    return (f"<p>{escape(report.method)} minus each other method, on the same images and holes. Small: the 95 % "
            'interval, and the share of images won. <b class="up">▲</b> better, <b class="down">▼</b> worse, where the '
            "interval excludes 0.</p>" + _table(table, rows, "differences"))


def _difference(metric: Metric, paired: Paired | None) -> str:
    if paired is None:
        return "-"
    mark = {1: '<b class="up">▲</b> ', -1: '<b class="down">▼</b> ', 0: ""}[metric.significance(paired)]
    interval = f"<small>{' to '.join(map(metric.format_signed, paired.interval))}</small>" if paired.interval else ""
    return f"{mark}{metric.format_signed(paired.difference)}{interval}<small>won {paired.won:.0%}</small>"


def _interval(metric: Metric, interval: table4.Interval) -> str:
    return f"{metric.format(interval[0])} to {metric.format(interval[1])}"


def _table(table: Table, rows: Mapping[str, Mapping[str, Sequence[str]]], name: str) -> str:
    """Return a table of cells by metric and row title, with the columns of `table`. Cells are HTML, titles are not."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    counts = "".join(f"<td>{count}</td>" for count in table.images)
    bodies = []
    for metric, lines in rows.items():
        inner = [f'<tr><th scope="row">{escape(title)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>\n'
                 for title, cells in lines.items()]
        bodies.append(f'<tbody data-metric="{metric}"><tr class="metric"><th scope="rowgroup" '
                      f'colspan="{len(table.columns) + 1}"><span>{escape(METRICS[metric].title)}</span></th></tr>\n'
                      f"{''.join(inner)}</tbody>")
    return (f'<div class="wide" tabindex="0" role="region" aria-label="table of {name}"><table><thead><tr><th '
            f'scope="col">hole ratio</th>{head}</tr><tr class="counts"><th scope="row">images</th>{counts}</tr>'
            f"</thead>{''.join(bodies)}</table></div>")


def _curves(report: Report, table: Table) -> str:
    def legend(rows: Mapping[str, Sequence[float | None]]) -> str:
        return "".join(f"<li>{svg.legend_key(i)}{escape(method)}</li>"
                       for i, (method, row) in enumerate(rows.items()) if row.count(None) < len(row))

    figures = [f"<figure><figcaption>{escape(METRICS[metric].title)}</figcaption>{plot}"
               f'<ul class="legend">{legend(table.means[metric])}</ul></figure>'
               for metric in table.means if (plot := curves.draw(table, report.records, report.edges, metric))]
    if not figures:
        return "<p>No bin has a mean to draw.</p>"
    return (f"<p>Means per bin with their 95 % intervals as bands; the dots are single images of "
            f"{escape(report.method)}.</p><div class=\"curves\">{''.join(figures)}</div>")


def _pictures(report: Report) -> str:
    if not report.cases:
        return "<p>No pictures were saved.</p>"
    groups: dict[int | None, list[Case]] = {}
    for case in sorted(report.cases, key=lambda case: RANKS.index(case.rank)):
        groups.setdefault(bin_of(case.record["hole_ratio"], report.edges), []).append(case)
    parts = []
    for i in sorted(groups, key=lambda i: len(report.edges) if i is None else i):
        title = "outside the bins" if i is None else label(*report.edges[i:i + 2])
        figures = "".join(_figure(case) for case in groups[i])
        parts.append(f'<h3>Hole ratio {title}</h3><div class="cases">{figures}</div>')
    choice = "".join(f'<label><input type="radio" name="left" value="{name}"{checked}> {name}</label>'
                     for name, checked in (("input", " checked"), ("truth", "")))
    return (f"<p>The result is to the right of the dividing line. Drag the line or use the arrow keys.</p>"
            f"<fieldset><legend>To the left</legend>{choice}</fieldset>{''.join(parts)}")


def _figure(case: Case) -> str:
    """Return a figure of three layers: the truth, and the pixels of input and result that differ from it."""
    name = escape(str(case.record["id"]))
    height, width = case.truth.shape[:2]
    layers = {"truth": case.truth, "input": _over(case.input, case.truth), "result": _over(case.result, case.truth)}
    images = "".join(f'<img class="{kind}" src="data:image/webp;base64,{base64.b64encode(_webp(pixels)).decode()}" '
                     f'width="{width}" height="{height}" alt="{kind}: {name}">' for kind, pixels in layers.items())
    facts = {"hole ratio": f"{case.record['hole_ratio']:.1%}"}
    facts |= {metric.name: metric.format(values[0]) for metric_name, metric in METRICS.items()
              if (values := table4.numbers([case.record], metric_name, None))}
    hole = f" · hole {escape(str(case.record['hole']))}" if "hole" in case.record else ""
    return (f'<figure><figcaption><b>{escape(case.rank)}</b> {name}{hole}</figcaption><div class="stack">{images}'
            f'<input type="range" min="0" max="100" value="50" aria-label="dividing line of {name}, percent">'
            f"</div>{_list(facts)}</figure>")


def _over(picture: Pixels, truth: Pixels) -> UInt8[np.ndarray, "h w 4"]:
    """Return the pixels of `picture` that differ from the truth, all others transparent: a third of the bytes."""
    differs = np.any(picture != truth, axis=2, keepdims=True)
    return np.concatenate([np.where(differs, picture, 0), differs * np.uint8(255)], axis=2)


def _webp(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "webp", lossless=True)
    return content.getvalue()


def _ranking_metric(records: Sequence[Record]) -> str:
    """Return the metric that ranks the examples: PSNR, or SSIM for a protocol without PSNR."""
    return "psnr" if any("psnr" in record for record in records) else "ssim"


def _definitions(report: Report, table: Table) -> str:
    protocol = "".join(f"<p>{escape(part)}</p>" for part in report.definitions.split("\n\n"))
    formulas = {METRICS[metric].name: FORMULAS[metric] for metric in table.means}
    ranking = METRICS[_ranking_metric(report.records)].name
    reading = {**READING, "Pictures": READING["Pictures"].format(ranking)}
    return (f"<h3>Protocol {escape(report.protocol)}</h3>{protocol}"
            f"<h3>Metrics</h3><p>p is the completed image, t the truth, in levels 0 … 255.</p>{_list(formulas)}"
            f"<h3>How to read this page</h3>{_list(reading)}")
