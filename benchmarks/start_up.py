"""Seconds from the command to the first step, with an empty cache of compiled programs and with the one it left.

python -m benchmarks.start_up [--config=configs/quickstart.py]
"""

import os
import subprocess
import sys
import tempfile
import time

from absl import flags

from benchmarks import records
from mai_jax import command

CONFIG = flags.DEFINE_string("config", "configs/quickstart.py", "The run to start.")


def seconds_to_first_step(cache: str) -> float:
    with tempfile.TemporaryDirectory() as workdir:
        flags = ("--config.run.log_every=1", "--config.vgg16.weights=random", f"--workdir={workdir}")
        begin = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-u", "train.py", f"--config={CONFIG.value}", *flags],
                                   env=os.environ | {"XDG_CACHE_HOME": cache}, stdout=subprocess.PIPE, text=True)
        while not process.stdout.readline().startswith("step 1/"):
            if process.poll() is not None:
                raise SystemExit(f"the run ended with {process.returncode}")
        seconds = time.perf_counter() - begin
        process.kill()
        process.communicate()
    return seconds


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        cold, *warm = (seconds_to_first_step(cache) for _ in range(4))
    warm.sort()
    print(f"first start {cold:.1f} s, later ones {', '.join(f'{s:.1f}' for s in warm)} s: {warm[1] / cold:.2f} of it")
    records.append("start_up", {"config": CONFIG.value, "cold_s": round(cold, 1), "warm_s": round(warm[1], 1)})


if __name__ == "__main__":
    command.run(main)
