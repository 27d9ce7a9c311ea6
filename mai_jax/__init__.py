"""The Multistage Attention Network (MAI) for image inpainting, with the systems it is compared with, in JAX and Flax.

The modules, in the order in which an image passes through them:

    data         reads images and samples holes
    nn           layers: partial convolution, attention, normalization
    models       one file per method: `loss`, `predict`
    losses       loss terms
    training     train step, trainer, checkpoints
    inference    a trained model applied to photographs of any size
    evaluation   metrics, protocols, reports
    image_io     reads and writes photograph files

`config` holds every setting, `batch` the data types that all modules share; `doctor`, `convert`, `compare`, `demo` and
`cli` use the modules above.

The names of `__all__` are the interface for other programs (docs/python.md). Each is imported on first use, so that
`import mai_jax` does not load JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mai_jax.batch import Batch
    from mai_jax.cli.config_argument import load_config
    from mai_jax.evaluation.from_python import evaluate
    from mai_jax.inference import Inpainter
    from mai_jax.models import create_model
    from mai_jax.training.trainer import train

__version__ = "0.2.0"
__all__ = ["Batch", "Inpainter", "create_model", "evaluate", "load_config", "train"]

_MODULES = {"Batch": "batch", "Inpainter": "inference", "create_model": "models", "evaluate": "evaluation.from_python",
            "load_config": "cli.config_argument", "train": "training.trainer"}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
