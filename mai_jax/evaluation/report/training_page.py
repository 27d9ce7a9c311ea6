"""The curves of one or several trainings on one HTML page, and as one SVG file, straight from their logs.

Evaluations of several checkpoints, as `mai evaluate --step=all` writes them, are curves, too.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from mai_jax.errors import InputError
from mai_jax.evaluation.report import listing, result_files, svg, training_curves
from mai_jax.evaluation.report.table4 import PAPER_METRICS
from mai_jax.files import write_atomically
from mai_jax.training import training_log
from mai_jax.training.training_log import Line

LAST = ("learning_rate", "speed/steps_per_second", "speed/data_wait", "hole_ratio")
EVALUATED = {f"evaluation/{metric}": metric for metric in PAPER_METRICS}
LINEAR = ("evaluation/psnr", "evaluation/ssim", "validation/psnr", *LAST)  # others are logarithmic


def write(folders: Sequence[Path], output: Path) -> list[Path]:
    """Write curves.html and curves.svg into the folder `output` and return their paths.

    Raises InputError for a log that cannot be read, two folders of one name, and if there is nothing to draw.
    """
    if len(set(folders)) < len(folders):
        raise InputError(f"{folders[0]}: a folder is given twice; give it once")
    logs = {str(folder): _evaluations(folder) + training_log.read(folder) for folder in folders}
    plots = draw(logs)
    if not plots:
        raise InputError(f"{', '.join(logs)}: the log holds no values yet; train at least run.log_every steps")
    legend = {name: i for i, name in enumerate(logs)}
    return [_write(output / "curves.html", page(plots, logs)),
            _write(output / "curves.svg", svg.sheet(list(plots.values()), legend))]


def _evaluations(folder: Path) -> list[Line]:
    """Return the means of a run's evaluations with default flags as lines of a log, ascending."""
    lines = []
    for path in (folder / result_files.FOLDER).glob("step*/"):
        if path.name.removeprefix("step").isdecimal():
            result, means = listing.means(path)
            scalars = {name: means[metric] for name, metric in EVALUATED.items() if metric in means}
            lines.append({training_log.STEP: float(result["step"]), **scalars})
    return sorted(lines, key=lambda line: line[training_log.STEP])


def draw(logs: Mapping[str, Sequence[Line]]) -> dict[str, str]:
    """Return the plots as SVG by name of the scalar: evaluation, validation and total losses first, speed last."""
    names = dict.fromkeys(name for lines in logs.values() for name in training_log.names(lines))
    ordered = sorted(names, key=lambda name: (LAST.index(name) + 1 if name in LAST else 0,
                                              name not in EVALUATED, not name.startswith("validation/"),
                                              not name.endswith("/total")))
    plots = {}
    for name in ordered:
        lines = {i: [(line[training_log.STEP], line[name]) for line in lines if name in line]
                 for i, lines in enumerate(logs.values())}
        plots[name] = training_curves.draw(lines, name, "steps", logarithmic=name not in LINEAR)
    return {name: plot for name, plot in plots.items() if plot}


def page(plots: Mapping[str, str], logs: Mapping[str, Sequence[Line]]) -> str:
    """Return the page: one figure per scalar, a legend of the runs, and their events. It needs no network."""
    style = svg.style() + Path(__file__).with_name("html_page.css").read_text("utf-8")
    legend = "".join(f"<li>{svg.legend_key(i)}{escape(name)}</li>" for i, name in enumerate(logs))
    figures = "".join(f"<figure><figcaption>{escape(name)}</figcaption>{plot}</figure>" for name, plot in plots.items())
    events = "".join(f"<li>{escape(name)}: {escape(line[training_log.EVENT])}</li>" for name, lines in logs.items()
                     for line in lines if training_log.EVENT in line)
    changes = f"<section><h2>Changes</h2><ul>{events}</ul></section>" if events else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Training curves</title>
<style>{style}</style>
</head>
<body>
<header><h1>Training curves</h1><ul class="legend">{legend}</ul></header>
<section><div class="curves">{figures}</div></section>
{changes}
</body>
</html>
"""


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode("utf-8", "backslashreplace"))
    return path
