"""How much of a photograph the holes of training hide: some hundred of them, drawn as training draws them."""

import itertools
from collections import Counter

import jax
import numpy as np

from mai_jax.config import Config
from mai_jax.data.doctor.report import Finding, Section
from mai_jax.data.holes import Hiding
from mai_jax.evaluation import ratio_bins
from mai_jax.training.state import split_key

HOLES, TOGETHER = 320, 16
BAR = 40  # characters for all holes


def section(hiding: Hiding, config: Config) -> Section:
    """A histogram over the bins of the evaluation."""
    draw = jax.jit(hiding.sample, static_argnums=2)
    keys = jax.random.split(split_key(config)[0], HOLES // TOGETHER)
    known = [np.asarray(draw(hiding.bank, key, TOGETHER)).mean((1, 2, 3), np.float64) for key in keys]
    shares, edges = 1 - np.concatenate(known), config.evaluation.edges
    counts = Counter(ratio_bins.bin_of(share, edges) for share in shares)
    labels = {i: ratio_bins.label(*bounds) for i, bounds in enumerate(itertools.pairwise(edges))} | {None: "other"}
    lines = [f"{label:>9} {counts[i] / HOLES:4.0%} {'#' * round(BAR * counts[i] / HOLES)}".rstrip()
             for i, label in labels.items()]  # fmt: skip
    empty = [label for i, label in labels.items() if i is not None and not counts[i]]
    findings = [Finding("warning", f"none in {', '.join(empty)}", "the evaluation measures such; training sees none")]
    title = f"holes of training: {HOLES} of them, {shares.min():.1%} to {shares.max():.1%} of the photograph"
    return Section(title, lines, findings if empty else [])
