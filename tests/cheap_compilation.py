"""XLA flags for fast compilation: tests would spend most of their time and memory on machine code that runs once."""

import os
from importlib.metadata import version

FLAGS = "--xla_backend_optimization_level=0"
if version("jaxlib") < "0.11":  # removed later; programs compile four times faster and are a third as large
    FLAGS += " --xla_cpu_use_fusion_emitters=false"


def environment(devices: int = 1) -> dict[str, str]:
    """Return the environment for a new process with `devices` fake CPU devices."""
    return os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {FLAGS}"}
