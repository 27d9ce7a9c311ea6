"""Training step and generator against the same in PyTorch, eager and compiled, timed alternately in one process.

python -m benchmarks.against_pytorch [--rounds=5]

On a CPU: 256 px in float32, a step of batch 2 and a prediction of batch 1. On a GPU: batch 6 and 64 in bfloat16. VGG-16
has random weights, which take the same time; the holes are fixed, not drawn in the step. Before anything is timed, the
losses of the first step must agree. Quote the ratios of the medians: of wall clock time, and of CPU time, which depends
less on other work on the machine.
"""

import os

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leaves GPU memory for PyTorch
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # PyTorch's idle threads sleep instead of spinning

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from benchmarks import records, torch_mai, torch_step, torch_weights
from mai_jax.batch import Batch
from mai_jax.cli import app
from mai_jax.cli.arguments import Parser, integer
from mai_jax.config import VGG16, Config, Phase
from mai_jax.models.mai import MAI
from mai_jax.training import train_state
from mai_jax.training.train_step import data_mesh, make_train_step

Programs = dict[str, Callable[[], Any]]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}  # of the first step's losses


def photographs(n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 noise and `valid` with a rectangular hole."""
    valid = np.ones((n, size, size, 1), np.float32)
    valid[:, size // 4 : 3 * size // 4, size // 5 : size // 2] = 0
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8), valid


def on_device(images: np.ndarray) -> Tensor:
    """Return the images on PyTorch's device, channels first in shape, channels last in memory."""
    return torch.tensor(images, device="cuda" if torch.cuda.is_available() else "cpu").permute(0, 3, 1, 2)


def networks(config: Config, state: train_state.TrainState) -> torch_mai.MAI:
    """Return PyTorch's networks with the weights of the state."""
    copies = torch_mai.MAI(config)
    torch_weights.load(copies, state.params, state.batch_stats, MAI(config).vgg16_params)
    return copies.to("cuda" if torch.cuda.is_available() else "cpu", memory_format=torch.channels_last)


def steps(config: Config) -> Programs:
    """Return training steps: both losses and gradients, two Adam updates, all statistics, the scalars on the host.

    Raises AssertionError if the losses of the first step differ.
    """
    images, valid = photographs(config.batch_size, config.image_size)
    state = train_state.init_on_devices(MAI(config), config)
    bfloat16 = config.dtype == "bfloat16"
    torch_steps = {
        name: torch_step.Step(networks(config, state), config, compiled=compiled, bfloat16=bfloat16)
        for name, compiled in (("pytorch", False), ("pytorch_compiled", True))
    }
    train_step = make_train_step(MAI(config), config, lambda holes, key, n: holes, data_mesh(jax.devices()[:1]))
    jax_inputs = jnp.asarray(images), jnp.asarray(valid)
    torch_inputs = on_device(images), on_device(valid)

    def run_jax() -> dict[str, Any]:
        nonlocal state
        state, logs = train_step(state, *jax_inputs)
        return jax.device_get(logs)

    def run_torch(step: torch_step.Step) -> dict[str, float]:
        return {name: float(value) for name, value in step(*torch_inputs).items()}

    programs = {"ours": run_jax, **{name: partial(run_torch, step) for name, step in torch_steps.items()}}
    first = {name: program() for name, program in programs.items()}
    for name in torch_steps:
        # Not the gradients: the innermost BatchNorm has two values per channel, and rounding changes them by 2 %.
        for term in [term for term in first[name] if not term.endswith("gradient_norm")]:
            values = first["ours"][term], first[name][term]
            np.testing.assert_allclose(*values, TOLERANCE[config.dtype], err_msg=f"{name} {term}")
    return programs


def forwards(config: Config) -> Programs:
    """Return predictions of the generator, with its running statistics."""
    images, valid = photographs(config.batch_size, config.image_size)
    images = images.astype(np.float32) / 255
    model, state = MAI(config), train_state.init_on_devices(MAI(config), config)
    batch, key = Batch(jnp.asarray(images), jnp.asarray(valid)), jax.random.key(0)
    predict = jax.jit(lambda variables: model.predict(variables, batch, key).raw)
    generator = networks(config, state).eval().generator
    inputs, bfloat16 = (on_device(images), on_device(valid)), config.dtype == "bfloat16"

    def run_torch(generator: Callable[..., Tensor]) -> None:
        with torch.inference_mode(), torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=bfloat16):
            generator(*inputs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return {
        "ours": lambda: predict(state.variables).block_until_ready(),
        "pytorch": partial(run_torch, generator),
        "pytorch_compiled": partial(run_torch, torch.compile(generator)),
    }


def compare(programs: Programs, config: Config, rounds: int) -> dict[str, float]:
    """Return medians over the rounds in ms per image, and their ratios to PyTorch's."""
    times: dict[tuple[str, str], list[float]] = {(clock, name): [] for clock in CLOCKS for name in programs}
    for program in programs.values():
        program()
    for _ in range(rounds):
        for name, program in programs.items():
            begin = {clock: read() for clock, read in CLOCKS.items()}
            program()
            for clock, read in CLOCKS.items():
                times[clock, name].append(read() - begin[clock])
    medians = {key: 1e3 * statistics.median(seconds) / config.batch_size for key, seconds in times.items()}
    figures = {f"{name}_{clock}_ms_per_image": round(median, 3) for (clock, name), median in medians.items()}
    for clock in CLOCKS:
        for name in [name for name in programs if name != "ours"]:
            figures[f"ours/{name}_{clock}"] = round(medians[clock, "ours"] / medians[clock, name], 3)
    return figures


def cases() -> dict[str, tuple[Callable[[Config], Programs], Config]]:
    """Return what to measure on this device: by name, the function that returns the programs, and its config."""
    def config(batch_size: int, dtype: str) -> Config:
        return Config(batch_size=batch_size, dtype=dtype, vgg16=VGG16(weights="random"), main_phase=Phase(steps=10**6))

    if jax.default_backend() == "gpu" and torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
        sizes = [(6, "bfloat16"), (64, "bfloat16")]
        return {f"{kind.__name__[:-1]} batch {n} {dtype}": (kind, config(n, dtype))
                for n, dtype in sizes for kind in (steps, forwards)}
    print("no GPU available to both JAX and PyTorch: batch 6 and 64 in bfloat16 are not measured")
    return {"step batch 2 float32": (steps, config(2, "float32")),
            "forward batch 1 float32": (forwards, config(1, "float32"))}


def main() -> None:
    parser = Parser(prog="python -m benchmarks.against_pytorch", description=__doc__)
    parser.add_argument("--rounds", type=integer(at_least=1), default=5, help="how often each program is timed")
    rounds = parser.parse().rounds
    figures = {}
    for name, (programs, config) in cases().items():
        figures[name] = compare(programs(config), config, rounds)
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures[name].items()), flush=True)
    records.append("against_pytorch", {"torch": torch.__version__, "threads": torch.get_num_threads(), **figures})


if __name__ == "__main__":
    sys.exit(app.run(main))
