"""Write docs/results.md and docs/results/ from the records of a comparison on real photographs.

python -m tools.results RUN [RUN ...] --photographs=DIR

RUN is the --workdir of `mai compare`. Further folders are the same comparison with other seeds: they add a section on
the spread, and an expectation is met if every seed meets it. DIR contains train/ and test/; it is needed if the
photographs have moved since the training. The first call also evaluates Telea's and Navier-Stokes's methods and
biharmonic inpainting (OpenCV: pip install '.[classical]'), with LPIPS if the comparison has it: give the same --lpips
flags.
"""

import dataclasses
import io
import itertools
from pathlib import Path

from PIL import Image, ImageOps

from mai_jax.cli import app, lpips_flags
from mai_jax.cli.arguments import Parser
from mai_jax.compare import page, paper
from mai_jax.compare.compare import FIGURE
from mai_jax.compare.methods import title
from mai_jax.config import Config
from mai_jax.data import sources
from mai_jax.data.hole_sampler import DRAWN
from mai_jax.errors import InputError
from mai_jax.evaluation.report import curves, svg, table4, training_curves
from mai_jax.files import write_atomically
from mai_jax.training import checkpointing
from tools.results_page import attention_examples, classical_rows, differences, load_results, seeds
from tools.results_page.commands import commands
from tools.results_page.load_results import PRIMARY, Results

DOCS = Path(__file__).parents[1] / "docs"
MAX_BYTES = {FIGURE: 1_000_000, "attention": 150_000}
CURVES = ("psnr", "ssim", "hole_l1", "lpips", "lpips_alex")
TRAINING = {"validation/hole_l1": "validation: L_hole", "generator/total": "generator: total loss",
            "generator/hole": "generator: L_hole"}  # fmt: skip
PAPER = Config()  # the defaults: image size and widths of the paper

INTRODUCTION = """\
# Results

Written by `python -m tools.results` from the records of a comparison; all numbers are generated.
"""
NO_FEATURES = "The perceptual and style losses are disabled, because they need VGG networks with trained weights."
RANDOM = ("The VGG networks of the losses have random weights, so the perceptual and style losses differ from those of "
          "the paper and are small: the comparison is mostly of the pixel losses.")
MINUTES = "Computed from the logged speeds, which include other load of the machine. Table 5 compares speeds."
BEST_SAMPLE = "by the truth"  # in the name of a row that is not shown in the curves
SAMPLES = '"Mean of n" and "best of n by the truth": see "Stochastic models" in [evaluation.md](evaluation.md).'
INTERVALS = ("Intervals are 95 % bootstrap intervals over photographs. They describe the variation between test "
             "photographs, not between trainings.")
DIFFERENCES = ("Computed on the same photograph and hole, then averaged, with the interval. ▲ MAI is better, ▼ worse; "
               "without a mark the interval includes 0.")
CURVES_NOTE = ("As logged, not smoothed: losses are means over {every} steps, validation is on {pictures} test "
               "photographs. L_hole is Eq. 20, a mean over all pixels, not over hole pixels. The total losses of the "
               "methods have different terms, so their values are not comparable. A method without a line has no such "
               "loss.")
ATTENTION = ("Input, result, and a map for each attention stage: the colour of a pixel shows direction and distance of "
             "its strongest source, by the key on the right. Selection: {choice}.")


def main() -> None:
    """Run the command."""
    parser = Parser(prog="python -m tools.results", description=__doc__)
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="the --workdir of mai compare, one per seed")
    parser.add_argument("--photographs", type=Path, metavar="DIR",
                        help="where train/ and test/ are now; default: where the training found them")
    parser.add_argument("--name", default="results", help="name of the page and of the folder of its pictures")
    parser.add_argument("--output", type=Path, default=DOCS, help="the folder of the page")
    lpips_flags.add_lpips(parser)
    given = parser.parse()
    lpips_params = lpips_flags.load(given)
    configs = [load_results.configs(run, given.photographs) for run in given.runs]
    train_size = count_training_images(configs[0][PRIMARY])
    for run, each in zip(given.runs, configs, strict=True):
        classical_rows.evaluate(each[PRIMARY], run, lpips_params)
    by_seed = [load_results.read(run, each) for run, each in zip(given.runs, configs, strict=True)]
    load_results.check_repeated(given.runs, by_seed)
    pictures = given.output / given.name
    pictures.mkdir(parents=True, exist_ok=True)
    text = page_text(by_seed, train_size, given.runs[0], pictures)
    write_atomically(given.output / f"{given.name}.md", text.encode())


def page_text(by_seed: list[Results], train_size: int, workdir: Path, pictures: Path) -> str:
    """Return the page, and write its pictures into the folder `pictures`. Most of it is about the first comparison."""
    results, *repeated = by_seed
    arguments = [(each.records, each.result["edges"], each.result["method"]) for each in by_seed]
    tables, paired = [table4.table(*each) for each in arguments], [table4.differences(*each) for each in arguments]
    table = tables[0]
    means = {metric: {row: values for row, values in rows.items() if BEST_SAMPLE not in row}
             for metric, rows in table.means.items()}
    plotted = dataclasses.replace(table, means=means)
    numbers = [each.configs[PRIMARY].seed for each in by_seed]
    sections = [
        INTRODUCTION, scale(results, train_size), budgets(results),
        "## Commands", command_lines(by_seed, pictures.name),
        "## Expected and measured differences", differences.outcomes(paired, table.columns, results.rows),
        page.wrap(INTERVALS),
        *(["## Spread over seeds", seeds.section(tables, paired, numbers, CURVES)] if repeated else []),
        "## Table 4: quality", page.wrap(results.result["about"]), table4.markdown(table),
        *([page.wrap(SAMPLES)] if plotted != table else []),
        "## MAI minus the others", page.wrap(DIFFERENCES), differences.table(paired[0], table.columns, CURVES),
        "## Quality against hole ratio", quality_curves(results, plotted, pictures),
        "## Training", loss_curves(results, plotted, pictures),
        "## Comparison", comparison(workdir, pictures), *attention(results, workdir, pictures),
        "## Table 5: ms of training per image", page.speed(results.times, paper.read("")),
    ]  # fmt: skip
    return "\n\n".join(section.strip() for section in sections) + "\n"


def count_training_images(config: Config) -> int:
    """Return the number of training images. Raises InputError if they cannot be read."""
    try:
        return len(sources.open_source(config.data, "train"))
    except InputError as reason:
        raise InputError(f"{reason}; give --photographs=DIR, which contains train/ and test/") from reason


def scale(results: Results, train_size: int) -> str:
    """Return the first paragraph: methods, data, training budget, and differences from the scale of the paper."""
    config, about = results.configs[PRIMARY], results.times.about
    test_size = len({record["id"] for record in results.records})
    holes = "random strokes" if config.holes.train_masks == DRAWN else "holes from mask files"
    sizes = [("image size", config.image_size, PAPER.image_size),
             ("generator width", config.generator.width, PAPER.generator.width)]
    if "pic" in results.configs:
        sizes.append(("PIC width", config.pic.width, PAPER.pic.width))
    smaller = [f"{name} {size} instead of {published}" for name, size, published in sizes if size != published]
    *names, last = map(title, results.configs)
    budgets = {(steps(each), each.batch_size) for each in results.configs.values()}
    budget = ", each for {} steps of {} crops".format(*budgets.pop()) if len(budgets) == 1 else ""
    parts = [f"{', '.join(names)} and {last}".removeprefix(" and "), f"trained on {train_size:,} photographs at",
             f"{config.image_size} px with {holes}{budget}, in {about['dtype']} on {about['device']};",
             f"evaluated on {len(results.records):,} holes in {test_size:,} other photographs.",
             f"Not the scale of the paper: {', '.join(smaller)}." if smaller else "Size and widths are the paper's.",
             vgg_note(config),
             f"mai_jax {results.result['mai_jax']}."]  # fmt: skip
    return page.wrap(" ".join(parts))


def steps(config: Config) -> str:
    """Return the steps of the phases of a config as text."""
    return " + ".join(f"{phase.steps:,}" for phase in config.phases.values() if phase.steps)


def vgg_note(config: Config) -> str:
    """Return a sentence about the VGG networks of the losses."""
    if not (config.losses.perceptual or config.losses.style):
        return NO_FEATURES
    return RANDOM if config.vgg16.weights == "random" else "The VGG networks of the losses have trained weights."


def budgets(results: Results) -> str:
    """Return the table of training budgets, one row per method."""
    rows = [["method", "steps", "batch", "crops", "minutes of training"]]
    rows += [[title(name), steps(config), str(config.batch_size), f"{config.total_steps * config.batch_size:,}",
              f"{load_results.seconds(results.logs[name]) / 60:.1f}"] for name, config in results.configs.items()]
    return f"{page.markdown_table(rows)}\n\n{MINUTES}"


def command_lines(by_seed: list[Results], name: str) -> str:
    """Return the commands that reproduce the results, as a code block."""
    runs = ["RUN", *(f"RUN{i}" for i in range(2, len(by_seed) + 1))]
    lines = []
    for run, results in zip(runs, by_seed, strict=True):
        # Table 5 divides by the last method.
        primary_last = dict(sorted(results.configs.items(), key=lambda item: item[0] == PRIMARY))
        lines += [line.replace("--workdir=RUN", f"--workdir={run}")
                  for line in commands(primary_last, DOCS.parent / "configs")]
    uses_folders = any("=DIR" in line for line in lines)
    named = "" if name == "results" else f" --name={name}"
    lines.append(f"python -m tools.results {' '.join(runs)}{named}" + " --photographs=DIR" * uses_folders)
    return "\n".join(["```", *lines, "```"])


def quality_curves(results: Results, table: table4.Table, pictures: Path) -> str:
    """Return the section on quality against hole ratio, and write its plots."""
    edges = results.result["edges"]
    plots = [curves.draw(table, results.records, edges, metric, single_images=False)
             for metric in CURVES if metric in table.means]
    legend = {method: i for i, method in enumerate(table.means["psnr"])}
    write_atomically(pictures / "curves.svg", svg.sheet(list(filter(None, plots)), legend).encode())
    figure = f"![Metrics against hole ratio]({pictures.name}/curves.svg)"
    return f"Means per bin, with bands of their intervals.\n\n{figure}"


def loss_curves(results: Results, table: table4.Table, pictures: Path) -> str:
    """Return the section on the losses during training, and write its plots."""
    indices = {name: list(table.means["psnr"]).index(results.rows[name]) for name in results.configs}
    plots = []
    for scalar, label in TRAINING.items():
        lines = {i: [(step * results.configs[name].batch_size, value)
                     for step, value in load_results.series(results.logs[name], scalar)]
                 for name, i in indices.items()}
        plots.append(training_curves.draw(lines, label))
    sheet = svg.sheet(list(filter(None, plots)), {title(name): i for name, i in indices.items()})
    write_atomically(pictures / "training.svg", sheet.encode())
    run = results.configs[PRIMARY].run
    about = page.wrap(CURVES_NOTE.format(every=run.log_every, pictures=run.validation_images))
    return f"{about}\n\n![Losses against training crops]({pictures.name}/training.svg)"


def comparison(workdir: Path, pictures: Path) -> str:
    """Return the section with the comparison figure, and write it."""
    try:
        figure = Image.open(workdir / FIGURE).convert("RGB")
    except OSError as reason:
        raise InputError(f"{workdir / FIGURE}: cannot be read ({reason}); mai compare writes it") from reason
    write_atomically(pictures / FIGURE, small_png(figure, MAX_BYTES[FIGURE]))
    return (f"Evenly spaced samples of the larger holes.\n\n"
            f"![Rows: images. Columns: input, the methods, truth]({pictures.name}/{FIGURE})")


def attention(results: Results, workdir: Path, pictures: Path) -> list[str]:
    """Return the section on attention, and write its pictures; empty without a checkpoint of MAI."""
    if not checkpointing.steps(workdir / PRIMARY):
        return []
    section = [f"## Attention of {results.result['method']}",
               page.wrap(ATTENTION.format(choice=attention_examples.CHOICE))]
    examples = attention_examples.examples(workdir / PRIMARY, results.configs[PRIMARY], results.records)
    for i, example in enumerate(examples, 1):
        name = f"attention_{i}.png"
        write_atomically(pictures / name, small_png(example.figure, MAX_BYTES["attention"]))
        ratio = f"{example.record['hole_ratio']:.0%} hole"
        section.append(f"![Input, result, attention, key: {ratio}]({pictures.name}/{name})")
    return section


def small_png(picture: Image.Image, max_bytes: int) -> bytes:
    """Return a PNG of at most `max_bytes`: reduce the bits per channel first, then the size, as far as needed."""
    for quarters, bits in itertools.product((4, 3, 2, 1), (8, 6, 5)):
        size = tuple(length * quarters // 4 for length in picture.size)
        content = io.BytesIO()
        reduced = ImageOps.posterize(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS), bits)
        reduced.save(content, "png", optimize=True)
        if len(content.getvalue()) <= max_bytes:
            break
    return content.getvalue()


if __name__ == "__main__":
    raise SystemExit(app.run(main))
