"""XLA compiles quickly: most of the tests' time and memory would go into machine code that runs once."""

import os
from importlib.metadata import version

FLAGS = "--xla_backend_optimization_level=0"
if version("jaxlib") < "0.11":  # later ones do not know it; programs compile four times faster and a third as large
    FLAGS += " --xla_cpu_use_fusion_emitters=false"


def environment(devices: int = 1) -> dict[str, str]:
    """For a new process: what it is here, but with that many devices."""
    return os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {FLAGS}"}
