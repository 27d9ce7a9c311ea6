"""The holes of a run: the mask files of a folder, and the ratios of sampled holes."""

import itertools
from collections import Counter
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from mai_jax.config import Config
from mai_jax.data import mask_files, mask_reader
from mai_jax.data.hole_sampler import HoleSampler
from mai_jax.data.sources import Part
from mai_jax.doctor.report import PURPOSE, Finding, Issue, Section, Tally
from mai_jax.doctor.scan import scan
from mai_jax.errors import InputError
from mai_jax.evaluation import ratio_bins
from mai_jax.files import find_images
from mai_jax.training.train_state import initial_rngs

NEARLY_ALL = 0.95  # hole ratio
NUM_SIZES = 3  # listed in the report
NUM_HOLES, BATCH = 320, 16  # sampled holes for the histogram
BAR = 40  # characters for all holes

ISSUES = {
    "unusable": Issue("error", "restore or remove them: training stops before its first step"),
    "neither black nor white": Issue("warning", "grey is thresholded at one half; save as PNG without soft edges"),
    "not square": Issue("warning", "they are resized to a square, which distorts the strokes; crop them to a square"),
    "nearly all hole": Issue("warning", "blank or inverted? there are hardly any valid pixels"),
    "skipped": Issue("warning", "their hole ratio is not in config.holes.min_ratio to max_ratio"),
}  # fmt: skip


def masks_section(folder: str, part: Part, config: Config) -> Section:
    """Return the section of a mask folder: sizes, issues of single masks, and a possibly inverted polarity."""
    title = f"masks for {PURPOSE[part]} ({folder})"
    try:
        names = find_images(folder, f"config.holes.{part}_masks")
    except InputError as error:
        return Section(title, [], [Finding("error", str(error), "training stops before its first step")])
    holes, root = config.holes, Path(folder).expanduser()
    tally, sizes = Tally(), Counter[tuple[int, int]]()
    ratios: list[float] = []
    readings: list[str] = []

    def inspect_mask(i: int) -> tuple[dict[str, str], tuple[int, int] | None, float | None, str]:
        try:
            mask = mask_reader.read_file(root / names[i], holes.mask_means)
        except InputError as error:
            return {"unusable": str(error).rpartition(";")[0]}, None, None, ""
        ratio = mask_files.resize_to_square(mask.hole, config.image_size).mean()
        height, width = mask.hole.shape
        present = {
            "neither black nor white": (mask.unclear > 0, f"{mask.unclear:.1%}"),
            "not square": (height != width, f"{width} x {height}"),
            "nearly all hole": (ratio > NEARLY_ALL, f"{ratio:.1%}"),
            "skipped": (not holes.min_ratio <= ratio <= holes.max_ratio, f"{ratio:.1%}"),
        }
        found = {issue: f"{names[i]} ({value})" for issue, (is_present, value) in present.items() if is_present}
        return found, (width, height), ratio, mask.reading

    for found, size, ratio, reading in scan(inspect_mask, len(names), "masks"):
        tally.add(found)
        if size is not None and ratio is not None:
            sizes[size] += 1
            ratios.append(ratio)
            readings.append(reading)
    facts = [f"{len(names):,} files; sizes {_common(sizes)}; median hole {np.median(ratios):.0%}",
             mask_files.summary(readings)] if ratios else []
    return Section(title, facts, _folder_findings(np.array(ratios), config) + tally.findings(ISSUES))


def _folder_findings(ratios: Float[np.ndarray, "n"], config: Config) -> list[Finding]:
    """Return the findings that follow from the ratios of all masks of the folder."""
    findings, holes = [], config.holes
    if len(ratios) and (median := np.median(ratios)) > 0.5:
        other = "valid" if holes.mask_means == "hole" else "hole"
        findings.append(Finding("warning", f"half of them have more than {median:.0%} hole: inverted?",
                                f"if white means {other} in them, give --config.holes.mask_means={other}"))
    if len(ratios) and not ((holes.min_ratio <= ratios) & (ratios <= holes.max_ratio)).any():
        findings.append(Finding("error", f"no mask has a hole ratio in [{holes.min_ratio}, {holes.max_ratio}]",
                                "training stops before its first step; change config.holes or the folder"))
    return findings


def _common(sizes: Counter[tuple[int, int]]) -> str:
    """Return a text such as "512 x 512 (98), 256 x 256 (2)"."""
    listed = ", ".join(f"{w} x {h} ({count:,})" for (w, h), count in sizes.most_common(NUM_SIZES))
    return listed + (f" and {len(sizes) - NUM_SIZES} more" if len(sizes) > NUM_SIZES else "")


def ratios_section(hole_sampler: HoleSampler, config: Config) -> Section:
    """Return the section with a histogram of sampled hole ratios over the bins of the evaluation."""
    sample = jax.jit(hole_sampler.sample, static_argnums=2)
    rngs = jax.random.split(initial_rngs(config)[0], NUM_HOLES // BATCH)
    valid = [np.asarray(sample(hole_sampler.mask_bank, rng, BATCH)).mean((1, 2, 3), np.float64) for rng in rngs]
    ratios, edges = 1 - np.concatenate(valid), config.evaluation.edges
    counts = Counter(ratio_bins.bin_of(ratio, edges) for ratio in ratios)
    labels = {i: ratio_bins.label(*bounds) for i, bounds in enumerate(itertools.pairwise(edges))} | {None: "other"}
    lines = [f"{label:>9} {counts[i] / NUM_HOLES:4.0%} {'#' * round(BAR * counts[i] / NUM_HOLES)}".rstrip()
             for i, label in labels.items()]  # fmt: skip
    empty = [label for i, label in labels.items() if i is not None and not counts[i]]
    findings = [Finding("warning", f"none in {', '.join(empty)}", "evaluated, but not trained: change config.holes")]
    title = f"holes of training: {NUM_HOLES} samples, {ratios.min():.1%} to {ratios.max():.1%} of the photograph"
    return Section(title, lines, findings if empty else [])
