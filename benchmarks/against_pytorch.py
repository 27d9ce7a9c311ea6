"""Our training step and generator against the same in PyTorch, eager and compiled, timed in one process in turn.

python -m benchmarks.against_pytorch [--rounds=5]

On a CPU: 256 px in float32, a step of batch 2 and a painting of batch 1. On a GPU: batch 6 and 64 in bfloat16. VGG-16
has random weights, which cost the same; holes are given, so that nobody draws them. Before anything is timed, the
losses of the first step must agree. The ratios of the medians are what to quote: of the wall clock, and of CPU time,
which other work on the machine disturbs less.
"""

import os

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leave PyTorch its share of a GPU
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # PyTorch's idle threads sleep instead of filling a core

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from benchmarks import records, torch_mai, torch_step, torch_weights
from mai_jax.config import VGG16, Config, Phase
from mai_jax.models.mai import MAI
from mai_jax.training import state as state_lib
from mai_jax.training.step import compile_step, data_mesh
from mai_jax.types import Batch

Programs = dict[str, Callable[[], Any]]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}  # of the first step's losses


def photographs(n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 noise with a rectangle missing: (images, known)."""
    known = np.ones((n, size, size, 1), np.float32)
    known[:, size // 4 : 3 * size // 4, size // 5 : size // 2] = 0
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8), known


def on_device(images: np.ndarray) -> Tensor:
    """Channels first in shape, channels last in memory."""
    return torch.tensor(images, device="cuda" if torch.cuda.is_available() else "cpu").permute(0, 3, 1, 2)


def networks(config: Config, state: state_lib.State) -> torch_mai.MAI:
    """PyTorch's networks with our weights."""
    theirs = torch_mai.MAI(config)
    torch_weights.load(theirs, state.params, state.stats, MAI(config).vgg16_params)
    return theirs.to("cuda" if torch.cuda.is_available() else "cpu", memory_format=torch.channels_last)


def steps(config: Config) -> Programs:
    """A whole step each: both losses and gradients, two Adams, all statistics, the scalars on the host."""
    images, known = photographs(config.batch_size, config.image_size)
    state = state_lib.create(MAI(config), config)
    bfloat16 = config.dtype == "bfloat16"
    rivals = {
        name: torch_step.Step(networks(config, state), config, compiled=compiled, bfloat16=bfloat16)
        for name, compiled in (("pytorch", False), ("pytorch_compiled", True))
    }
    compiled = compile_step(MAI(config), config, lambda holes, key, n: holes, data_mesh(jax.devices()[:1]))
    at_hand = jnp.asarray(images), jnp.asarray(known)

    def ours() -> dict[str, Any]:
        nonlocal state
        state, logs = compiled(state, *at_hand)
        return jax.device_get(logs)

    def theirs(step: torch_step.Step, images: Tensor, known: Tensor) -> dict[str, float]:
        return {name: float(value) for name, value in step(images, known).items()}

    inputs = on_device(images), on_device(known)
    programs = {"ours": ours, **{name: lambda step=step: theirs(step, *inputs) for name, step in rivals.items()}}
    first = {name: program() for name, program in programs.items()}
    for name in rivals:
        # Not the gradients: the innermost normalisation sees two numbers per channel, and rounding moves them by 2 %.
        for term in [term for term in first[name] if not term.endswith("gradient_norm")]:
            values = first["ours"][term], first[name][term]
            np.testing.assert_allclose(*values, TOLERANCE[config.dtype], err_msg=f"{name} {term}")
    return programs


def forwards(config: Config) -> Programs:
    """The generator alone, with its running statistics."""
    images, known = photographs(config.batch_size, config.image_size)
    images = images.astype(np.float32) / 255
    model, state = MAI(config), state_lib.create(MAI(config), config)
    batch, key = Batch(jnp.asarray(images), jnp.asarray(known)), jax.random.key(0)
    paint = jax.jit(lambda params, stats: model.paint(params, stats, batch, key).raw)
    generator = networks(config, state).eval().generator
    inputs, bfloat16 = (on_device(images), on_device(known)), config.dtype == "bfloat16"

    def theirs(generator: Callable[..., Tensor]) -> None:
        with torch.inference_mode(), torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=bfloat16):
            generator(*inputs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    compiled = torch.compile(generator)
    return {
        "ours": lambda: paint(state.params, state.stats).block_until_ready(),
        "pytorch": lambda: theirs(generator),
        "pytorch_compiled": lambda: theirs(compiled),
    }


def compare(programs: Programs, config: Config, rounds: int) -> dict[str, float]:
    """ms per image, medians over the rounds, and our share of each rival's time."""
    times: dict[tuple[str, str], list[float]] = {(clock, name): [] for clock in CLOCKS for name in programs}
    for program in programs.values():
        program()
    for _ in range(rounds):
        for name, program in programs.items():
            begin = {clock: read() for clock, read in CLOCKS.items()}
            program()
            for clock, read in CLOCKS.items():
                times[clock, name].append(read() - begin[clock])
    medians = {key: 1e3 * statistics.median(taken) / config.batch_size for key, taken in times.items()}
    figures = {f"{name}_{clock}_ms_per_image": round(median, 3) for (clock, name), median in medians.items()}
    for clock in CLOCKS:
        for name in [name for name in programs if name != "ours"]:
            figures[f"ours/{name}_{clock}"] = round(medians[clock, "ours"] / medians[clock, name], 3)
    return figures


def cases() -> dict[str, tuple[Callable[[Config], Programs], Config]]:
    def config(batch_size: int, dtype: str) -> Config:
        return Config(batch_size=batch_size, dtype=dtype, vgg16=VGG16(weights="random"), train=Phase(steps=10**6))

    if jax.default_backend() == "gpu" and torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
        sizes = [(6, "bfloat16"), (64, "bfloat16")]
        return {f"{kind.__name__[:-1]} batch {n} {dtype}": (kind, config(n, dtype))
                for n, dtype in sizes for kind in (steps, forwards)}
    print("no GPU that both can use: batch 6 and 64 in bfloat16 are not measured")
    return {"step batch 2 float32": (steps, config(2, "float32")),
            "forward batch 1 float32": (forwards, config(1, "float32"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each program is timed")
    rounds = parser.parse_args().rounds
    figures = {}
    for name, (programs, config) in cases().items():
        figures[name] = compare(programs(config), config, rounds)
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures[name].items()), flush=True)
    records.append("against_pytorch", {"torch": torch.__version__, "threads": torch.get_num_threads(), **figures})


if __name__ == "__main__":
    main()
