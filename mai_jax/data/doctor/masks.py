"""The mask files of a folder, as training will take them."""

from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mai_jax.config import Config
from mai_jax.data import hole_files
from mai_jax.data.doctor.report import PURPOSE, Ailment, Finding, Section, Tally
from mai_jax.data.doctor.scan import scan
from mai_jax.data.folder import find_images
from mai_jax.data.sources import Part
from mai_jax.types import InputError

NEARLY_ALL = 0.95  # share of hole
SIZES = 3  # that are named

AILMENTS = {
    "unusable": Ailment("error", "restore or remove them: training stops before its first step"),
    "neither black nor white": Ailment("warning", "grey is cut at one half; save masks as PNG, without soft edges"),
    "not square": Ailment("warning", "they are squeezed into a square; cut them to one for round strokes"),
    "nearly all hole": Ailment("warning", "blank or inverted? nothing is left to paint from"),
    "left out": Ailment("warning", "their share of hole is not in config.holes.min_ratio to max_ratio"),
}  # fmt: skip


def section(folder: str, part: Part, config: Config) -> Section:
    """What ails single masks, their sizes, and whether white may mean the opposite."""
    title = f"masks for {PURPOSE[part]} ({folder})"
    try:
        names = find_images(folder, f"config.holes.{part}")
    except InputError as error:
        return Section(title, [], [Finding("error", str(error), "training stops before its first step")])
    holes, root = config.holes, Path(folder).expanduser()
    tally, sizes, shares = Tally(), Counter(), []

    def look(i: int) -> tuple[dict[str, str], tuple[int, int] | None, float | None]:
        try:
            mask = hole_files.read_grey(root / names[i])
        except InputError as error:
            return {"unusable": str(error).rpartition(";")[0]}, None, None
        share = 1 - hole_files.known_from_mask(hole_files.squared(mask, config.image_size), holes.mask_means).mean()
        grey, (height, width) = hole_files.grey_share(mask), mask.shape
        here = {
            "neither black nor white": (grey > 0, f"{grey:.1%}"),
            "not square": (height != width, f"{width} x {height}"),
            "nearly all hole": (share > NEARLY_ALL, f"{share:.1%}"),
            "left out": (not holes.min_ratio <= share <= holes.max_ratio, f"{share:.1%}"),
        }
        found = {ailment: f"{names[i]} ({value})" for ailment, (has, value) in here.items() if has}
        return found, (width, height), share

    for found, size, share in scan(look, len(names), "masks"):
        tally.add(found)
        if size is not None:
            sizes[size] += 1
            shares.append(share)
    facts = [f"{len(names):,} files; sizes {_common(sizes)}; median hole {np.median(shares):.0%}"] if shares else []
    return Section(title, facts, _of_all(np.array(shares), config) + tally.findings(AILMENTS))


def _of_all(shares: Float[np.ndarray, "n"], config: Config) -> list[Finding]:
    """What can be told from the whole folder only."""
    findings, holes = [], config.holes
    if len(shares) and (median := np.median(shares)) > 0.5:
        other = {"hole": "known", "known": "hole"}[holes.mask_means]
        findings.append(Finding("warning", f"half of them have more than {median:.0%} hole: inverted?",
                                f"if white means {other} in them, give --config.holes.mask_means={other}"))
    if len(shares) and not ((holes.min_ratio <= shares) & (shares <= holes.max_ratio)).any():
        findings.append(Finding("error", f"no mask has a share of hole in [{holes.min_ratio}, {holes.max_ratio}]",
                                "training stops before its first step; change config.holes or the folder"))
    return findings


def _common(sizes: Counter[tuple[int, int]]) -> str:
    """As in "512 x 512 (98), 256 x 256 (2)"."""
    told = ", ".join(f"{w} x {h} ({count:,})" for (w, h), count in sizes.most_common(SIZES))
    return told + (f" and {len(sizes) - SIZES} more" if len(sizes) > SIZES else "")
