"""Seconds from the command to the first step, with an empty compilation cache and with that of an earlier run.

python -m benchmarks.start_up [--config=configs/quickstart.py]
"""

import os
import subprocess
import sys
import tempfile
import time

from benchmarks import records
from mai_jax.cli import app
from mai_jax.cli.arguments import Parser


def seconds_to_first_step(config: str, cache: str) -> float:
    with tempfile.TemporaryDirectory() as workdir:
        flags = ("--config.run.log_every=1", "--config.vgg16.weights=random", f"--workdir={workdir}")
        begin = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-u", "train.py", f"--config={config}", *flags],
                                   env=os.environ | {"XDG_CACHE_HOME": cache}, stdout=subprocess.PIPE, text=True)
        while not process.stdout.readline().startswith("step 1/"):
            if process.poll() is not None:
                raise SystemExit(f"the run ended with {process.returncode}")
        seconds = time.perf_counter() - begin
        process.kill()
        process.communicate()
    return seconds


def main() -> None:
    parser = Parser(prog="python -m benchmarks.start_up", description=__doc__)
    parser.add_argument("--config", metavar="NAME[:VARIANT]", default="configs/quickstart.py", help="the run to start")
    config = parser.parse().config
    with tempfile.TemporaryDirectory() as cache:
        cold, *warm = (seconds_to_first_step(config, cache) for _ in range(4))
    warm.sort()
    print(f"first start {cold:.1f} s, later ones {', '.join(f'{s:.1f}' for s in warm)} s: {warm[1] / cold:.2f} of it")
    records.append("start_up", {"config": config, "cold_s": round(cold, 1), "warm_s": round(warm[1], 1)})


if __name__ == "__main__":
    sys.exit(app.run(main))
