"""Results of benchmarks, one line of JSON per run: `records.append("attention", {...})`."""

import json
import subprocess
from pathlib import Path
from typing import Any

import jax

RESULTS = Path(__file__).parent / "results"


def append(name: str, figures: dict[str, Any]) -> None:
    """Append {device, jax, commit, figures} to results/<name>.jsonl; the keys of `figures` include the units."""
    devices = jax.devices()
    record = {
        "device": f"{len(devices)} x {devices[0].device_kind}",
        "jax": jax.__version__,
        "commit": _commit(),
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")


def _commit() -> str:
    """Return the current commit, with "-dirty" if files differ from it."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    return subprocess.run(describe, cwd=RESULTS.parent, check=True, capture_output=True, text=True).stdout.strip()
