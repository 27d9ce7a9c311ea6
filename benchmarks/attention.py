"""Blockwise attention against the dense form: time and temporary memory, forward and with the gradient.

python -m benchmarks.attention

The maps are those of the two stages at 256 px, batch 1, float32. All programs are timed alternately in one process.
Quote the ratios of the medians: of wall clock time, and of CPU time, which depends less on other work on the machine.
At 256x256 the dense form is only compiled, because it needs too much memory.
"""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import records
from mai_jax.batch import Masked
from mai_jax.nn.attention import attend

SHAPES, LARGE, ROUNDS = [(64, 64, 128), (32, 32, 256)], (256, 256, 128), 11
MIB = 2**20


def features(shape: tuple[int, int, int]) -> Masked:
    """Return noise, and `valid` with 70 % background."""
    h, w, c = shape
    rng = np.random.default_rng(0)
    x, valid = rng.normal(size=(1, h, w, c)), rng.random((1, h, w, 1)) < 0.7
    return Masked(jnp.asarray(x, jnp.float32), jnp.asarray(valid, jnp.float32))


def programs(example: Masked) -> dict[str, dict[str, Callable]]:
    """Return the compiled programs: by what they compute, then by implementation."""

    def forward(implementation: str) -> Callable:
        return lambda f: attend(f, implementation=implementation)

    def with_gradient(implementation: str) -> Callable:
        predict = forward(implementation)
        return jax.grad(lambda f: jnp.sum(predict(f) ** 2))

    return {
        kind.__name__: {name: jax.jit(kind(name)).lower(example).compile() for name in ("dense", "blockwise")}
        for kind in (forward, with_gradient)
    }


def memory(compiled: Callable) -> float:
    return compiled.memory_analysis().temp_size_in_bytes / MIB


def seconds(compiled: dict[str, Callable], example: Masked) -> dict[str, dict[str, float]]:
    """Return the medians of wall clock and CPU time per implementation.

    Every timed call follows an untimed one of the same program, because the memory of the previous call may still be
    being released.
    """
    clocks = {"wall": time.perf_counter, "cpu": time.process_time}
    times = {clock: {name: [] for name in compiled} for clock in clocks}
    for _ in range(ROUNDS):
        for name, program in compiled.items():
            jax.block_until_ready(program(example))
            begin = {clock: read() for clock, read in clocks.items()}
            jax.block_until_ready(program(example))
            for clock, read in clocks.items():
                times[clock][name].append(read() - begin[clock])
    return {clock: {name: statistics.median(t) for name, t in by_name.items()} for clock, by_name in times.items()}


def compare(shape: tuple[int, int, int]) -> dict[str, dict[str, float]]:
    example, figures = features(shape), {}
    for kind, compiled in programs(example).items():
        medians, mib = seconds(compiled, example), {name: memory(program) for name, program in compiled.items()}
        figures[kind] = {
            **{f"{name}_ms": round(1e3 * t, 1) for name, t in medians["wall"].items()},
            **{f"{name}_MiB": round(m, 1) for name, m in mib.items()},
            "speedup": round(medians["wall"]["dense"] / medians["wall"]["blockwise"], 2),
            "cpu_speedup": round(medians["cpu"]["dense"] / medians["cpu"]["blockwise"], 2),
            "memory_ratio": round(mib["blockwise"] / mib["dense"], 3),
        }
    return figures


def large() -> dict[str, dict[str, float]]:
    """Return the memory of every program at 256x256, and the time of one run of the blockwise forward pass."""
    example, figures = features(LARGE), {}
    for kind, compiled in programs(example).items():
        figures[kind] = {f"{name}_MiB": round(memory(program)) for name, program in compiled.items()}
        if kind == "forward":
            begin = time.perf_counter()
            jax.block_until_ready(compiled["blockwise"](example))
            figures[kind]["blockwise_s"] = round(time.perf_counter() - begin, 1)
    return figures


def main() -> None:
    figures = {}
    for shape, measure in [*((s, lambda s=s: compare(s)) for s in SHAPES), (LARGE, large)]:
        name = "x".join(map(str, shape))
        figures[name] = measure()
        for kind, measured in figures[name].items():
            print(f"{name} {kind}: " + ", ".join(f"{key} {value}" for key, value in measured.items()), flush=True)
    records.append("attention", figures)


if __name__ == "__main__":
    main()
