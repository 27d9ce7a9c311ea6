"""Writes docs/results.md and docs/results/: what a comparison on real photographs found, from its records alone.

python docs/results.py RUN --photographs=DIR

RUN is the --workdir of tables.py. DIR/train and DIR/test are needed where the photographs no longer lie where the
training found them. The first time, Telea's and Navier-Stokes's fillings are measured (OpenCV: pip install
'.[classical]').
"""

import dataclasses
import io
import itertools
from pathlib import Path

from PIL import Image, ImageOps

from mai_jax import checkpoint
from mai_jax.comparison import attention_examples, classical_rows, differences, finished, page, paper, training_curves
from mai_jax.comparison.commands import commands
from mai_jax.comparison.entrants import title
from mai_jax.comparison.finished import OWN, Finished
from mai_jax.comparison.run import FIGURE
from mai_jax.config import Config
from mai_jax.data import sources
from mai_jax.data.holes import DRAWN
from mai_jax.evaluation import curves, drawing, table4
from mai_jax.files import write_whole
from mai_jax.subcommands import Parser, run
from mai_jax.types import InputError

HERE = Path(__file__).parent
PICTURES = "results"  # their folder
LARGEST = {FIGURE: 1_000_000, "attention": 150_000}  # bytes
CURVES = ("psnr", "ssim", "hole_l1")
TRAINING = {"validation/hole_l1": "validation: L_hole", "generator/total": "generator: total loss",
            "generator/hole": "generator: L_hole"}  # fmt: skip
PAPERS = Config()  # its size and its widths

MADE = """\
# Results

Made by `python docs/results.py` from the records of one comparison; no number here was typed.
"""
NO_FEATURES = "The perceptual and the style term are left out: they need VGG networks with trained weights."
RANDOM = ("The VGG networks of the losses have random weights, so the perceptual and style terms are not the paper's, "
          "and weigh little: what is compared is mostly the pixel terms.")
MINUTES = "By the speeds that were logged, whatever else the machine did at the time. Table 5 compares speeds."
CHOSEN = "by the truth"  # in the name of a row that has no place among the curves
BY_LOT = '"Mean of n" and "best of n by the truth": see [evaluation.md](evaluation.md), methods that paint by lot.'
INTERVALS = ("Intervals are 95 % bootstrap intervals over photographs: they say how far other test photographs would "
             "move a number, not how far another training would; each method was trained once.")
DIFFERENCES = ("Taken on the same photograph and hole, then averaged, with the interval. ▲ MAI is better, ▼ worse; "
               "without a mark the interval holds 0.")
TRAINED = ("As logged, not smoothed: the losses as means over {every} steps, validation on {pictures} test "
           "photographs. L_hole is Eq. 20, a mean over all pixels and not over those of the hole. Each method's total "
           "is a sum of other terms, so only its course says anything; a method without a line has no such term.")
LOOKS = ("Input, result, and for each stage of attention a map: the colour of a pixel says in which direction and how "
         "far away its strongest source lies, by the key on the right. Chosen by a rule: {choice}.")


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("run", metavar="RUN", type=Path, help="the --workdir of tables.py")
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="where train/ and test/ lie now")
    parser.add_argument("--output", type=Path, default=HERE, help="the folder of results.md")
    given = parser.parse_args()
    configs = finished.configs(given.run, given.photographs)
    trained_on = photographs(configs[OWN])
    classical_rows.measure(configs[OWN], given.run)
    done = finished.read(given.run, configs)
    (given.output / PICTURES).mkdir(parents=True, exist_ok=True)
    write_whole(given.output / "results.md", text(done, trained_on, given.run, given.output / PICTURES).encode())


def text(done: Finished, trained_on: int, workdir: Path, pictures: Path) -> str:
    """The page; its pictures are written into `pictures`."""
    made = table4.table(done.records, done.result["edges"], done.result["method"])
    differ = table4.differences(done.records, done.result["edges"], done.result["method"])
    shown = dataclasses.replace(made, means={metric: {row: means for row, means in rows.items() if CHOSEN not in row}
                                             for metric, rows in made.means.items()})
    sections = [
        MADE, scale(done, trained_on), budgets(done), "## Commands", how(done), "## What was hoped, and what came",
        differences.outcome(differ, made.columns, done.rows), page.wrapped(INTERVALS), "## Table 4: quality",
        page.wrapped(done.result["about"]), table4.markdown(made),
        *([page.wrapped(BY_LOT)] if shown != made else []),
        "## MAI minus the others", page.wrapped(DIFFERENCES), differences.table(differ, made.columns, CURVES),
        "## Quality against the share of hole", against_ratio(done, shown, pictures),
        "## Training", training(done, shown, pictures),
        "## Comparison", comparison(workdir, pictures), *attention(done, workdir, pictures),
        "## Table 5: ms of training per image", page.speed(done.times, paper.read(HERE, "")),
    ]  # fmt: skip
    return "\n\n".join(section.strip() for section in sections) + "\n"


def photographs(config: Config) -> int:
    """How many there are to train on."""
    try:
        return len(sources.open_source(config.data, "train"))
    except InputError as reason:
        raise InputError(f"{reason}; give --photographs=DIR, which holds train/ and test/") from reason


def scale(done: Finished, trained_on: int) -> str:
    """The first paragraph: what was trained on what, how large, how long, and what that leaves open."""
    config, about = done.configs[OWN], done.times.about
    tested_on = len({record["id"] for record in done.records})
    holes = "drawn at random" if config.holes.train == DRAWN else "from mask files"
    sizes = [("image size", config.image_size, PAPERS.image_size),
             ("generator's width", config.generator.width, PAPERS.generator.width)]
    if "pic" in done.configs:
        sizes.append(("PIC's width", config.pic.width, PAPERS.pic.width))
    apart = [f"{name} {ours} instead of {theirs}" for name, ours, theirs in sizes if ours != theirs]
    *names, last = map(title, done.configs)
    seen = {(steps(each), each.batch_size) for each in done.configs.values()}
    budget = ", each for {} steps of {} crops".format(*seen.pop()) if len(seen) == 1 else ""
    parts = [f"{', '.join(names)} and {last}".removeprefix(" and "), f"trained on {trained_on:,} photographs at",
             f"{config.image_size} px with holes {holes}{budget}, in {about['dtype']} on {about['device']};",
             f"measured on {len(done.records):,} holes in {tested_on:,} other photographs.",
             f"This is not the paper's scale: {', '.join(apart)}." if apart else "Size and widths are the paper's.",
             judged_by(config),
             f"mai_jax {done.result['mai_jax']}."]  # fmt: skip
    return page.wrapped(" ".join(parts))


def steps(config: Config) -> str:
    return " + ".join(f"{phase.steps:,}" for phase in config.phases.values() if phase.steps)


def judged_by(config: Config) -> str:
    if not (config.losses.perceptual or config.losses.style):
        return NO_FEATURES
    return RANDOM if config.vgg16.weights == "random" else "The VGG networks of the losses are trained ones."


def budgets(done: Finished) -> str:
    """One row per method: how long and on how much it was trained."""
    rows = [["method", "steps", "batch", "crops seen", "minutes of training"]]
    rows += [[title(name), steps(config), str(config.batch_size), f"{config.total_steps * config.batch_size:,}",
              f"{finished.seconds(done.logs[name]) / 60:.1f}"] for name, config in done.configs.items()]
    return f"{page.aligned(rows)}\n\n{MINUTES}"


def how(done: Finished) -> str:
    own_last = dict(sorted(done.configs.items(), key=lambda entry: entry[0] == OWN))  # Table 5 divides by the last
    lines = commands(own_last, HERE.parent / "configs")
    own_photographs = any("=DIR" in line for line in lines)
    lines.append("python docs/results.py RUN" + " --photographs=DIR" * own_photographs)
    return "\n".join(["```", *lines, "```"])


def against_ratio(done: Finished, made: table4.Table, pictures: Path) -> str:
    drawn = [curves.draw(made, done.records, done.result["edges"], metric, single_images=False) for metric in CURVES]
    legend = {method: i for i, method in enumerate(made.means["psnr"])}
    write_whole(pictures / "curves.svg", drawing.sheet(list(filter(None, drawn)), legend).encode())
    return f"Means per bin, in the band of their intervals.\n\n![Three metrics against hole]({PICTURES}/curves.svg)"


def training(done: Finished, made: table4.Table, pictures: Path) -> str:
    signs = {name: list(made.means["psnr"]).index(done.rows[name]) for name in done.configs}
    drawn = []
    for scalar, upwards in TRAINING.items():
        lines = {sign: [(step * done.configs[name].batch_size, value)
                        for step, value in finished.series(done.logs[name], scalar)] for name, sign in signs.items()}
        drawn.append(training_curves.draw(lines, upwards))
    sheet = drawing.sheet(list(filter(None, drawn)), {title(name): sign for name, sign in signs.items()})
    write_whole(pictures / "training.svg", sheet.encode())
    watched = done.configs[OWN].run
    about = page.wrapped(TRAINED.format(every=watched.log_every, pictures=watched.pictures))
    return f"{about}\n\n![Losses against crops seen]({PICTURES}/training.svg)"


def comparison(workdir: Path, pictures: Path) -> str:
    try:
        figure = Image.open(workdir / FIGURE).convert("RGB")
    except OSError as reason:
        raise InputError(f"{workdir / FIGURE}: cannot be read ({reason}); tables.py writes it") from reason
    write_whole(pictures / FIGURE, small_png(figure, LARGEST[FIGURE]))
    return (f"At even distances among the larger holes.\n\n"
            f"![Rows: photographs. Columns: input, the methods, truth]({PICTURES}/{FIGURE})")


def attention(done: Finished, workdir: Path, pictures: Path) -> list[str]:
    """A section, where a checkpoint of MAI is at hand."""
    if not checkpoint.steps(workdir / OWN):
        return []
    section = [f"## Where {done.result['method']} looks",
               page.wrapped(LOOKS.format(choice=attention_examples.CHOICE))]
    for i, example in enumerate(attention_examples.examples(workdir / OWN, done.configs[OWN], done.records), 1):
        name = f"attention_{i}.png"
        write_whole(pictures / name, small_png(example.figure, LARGEST["attention"]))
        share = f"{example.record['hole_ratio']:.0%} hole"
        section.append(f"![Input, result, attention, key: {share}]({PICTURES}/{name})")
    return section


def small_png(picture: Image.Image, most: int) -> bytes:
    """With fewer bits per colour, and then smaller, as far as needed for `most` bytes."""
    for quarters, bits in itertools.product((4, 3, 2, 1), (8, 6, 5)):
        size = tuple(length * quarters // 4 for length in picture.size)
        content = io.BytesIO()
        reduced = ImageOps.posterize(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS), bits)
        reduced.save(content, "png", optimize=True)
        if len(content.getvalue()) <= most:
            break
    return content.getvalue()


if __name__ == "__main__":
    raise SystemExit(run(main))
