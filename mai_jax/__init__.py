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

`mai_jax.Inpainter` is imported on first use, so that `import mai_jax` does not load JAX.
"""

from typing import Any

__version__ = "0.2.0"
__all__ = ["Inpainter"]


def __getattr__(name: str) -> Any:
    if name == "Inpainter":
        from mai_jax.inference import Inpainter

        return Inpainter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
