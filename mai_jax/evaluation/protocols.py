"""Evaluation protocols: `default`, and those of published evaluation scripts.

Between the scripts the SSIM of the same pixels differs by 0.02 and the PSNR by 0.3 dB, so a number is meaningless
without its protocol. A metric that a script does not compute is not part of its protocol. Files are measured as they
are: to compare with a project that saved JPEG, give JPEG files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from mai_jax import metrics
from mai_jax.visualize import to_uint8

Pixels = UInt8[Array | np.ndarray, "b h w 3"]
Prediction = Pixels | Float[Array | np.ndarray, "b h w 3"]
Holes = Bool[Array | np.ndarray, "b h w"]


@dataclass(frozen=True, eq=False)
class Protocol:
    """A definition of which images are compared, and by which metrics.

    `about` is the definition in words, for reports. `metrics` are functions of two batches of levels.
    """

    about: str
    metrics: Mapping[str, metrics.Metric]
    truncated: bool = False  # conversion to uint8 truncates instead of rounding
    completes_files: bool = False  # the valid pixels of a file are replaced by the true ones
    grey: bool = False

    def compared(self, prediction: Prediction, truth: Pixels, hole: Holes) -> UInt8[Array, "b h w 3"]:
        """Return the pixels that are compared with the truth.

        A float `prediction` is the raw output of a network in [0, 1]. It is converted to uint8 as the protocol defines
        and completed with the true pixels outside the hole, as all these projects do before they save a file.
        A uint8 `prediction` is the content of a file. The published scripts read files without masks and therefore
        also measure errors outside the hole; `default` completes files too.
        """
        from_file = prediction.dtype == np.uint8
        if not from_file:
            prediction = _truncate(prediction) if self.truncated else to_uint8(jnp.asarray(prediction))
        if from_file and not self.completes_files:
            return jnp.asarray(prediction)
        return jnp.where(hole[..., None], prediction, truth)

    @partial(jax.jit, static_argnums=0)
    def measure(self, prediction: Prediction, truth: Pixels, hole: Holes) -> dict[str, Float[Array, "b"]]:
        """Return every metric of the protocol, and PSNR and l1 in RGB over the hole pixels, `hole_psnr` and `hole_l1`.

        For an image without a hole the latter two are undefined (here +inf and 0): see `records`. Raises InputError if
        the images are smaller than the window of SSIM.
        """
        # One image at a time fits the cache of a CPU: twice as fast there as the whole batch.
        columns = jax.lax.map(lambda image: self._measure(*(x[None] for x in image)), (prediction, truth, hole))
        return {name: column[:, 0] for name, column in columns.items()}

    def _measure(self, prediction: Prediction, truth: Pixels, hole: Holes) -> dict[str, Float[Array, "b"]]:
        a, b = self.compared(prediction, truth, hole), jnp.asarray(truth)  # levels: see `metrics`
        pair = (metrics.grey(a), metrics.grey(b)) if self.grey else (a, b)
        in_hole = {"hole_psnr": metrics.hole_psnr(a, b, hole), "hole_l1": metrics.hole_l1(a, b, hole)}
        return {name: metric(*pair) for name, metric in self.metrics.items()} | in_hole

    def records(self, prediction: Prediction, truth: Pixels, hole: Holes) -> list[dict[str, float]]:
        """Return `measure` as one dict per image, without `hole_psnr` and `hole_l1` for an image without a hole."""
        columns = {name: np.asarray(column) for name, column in self.measure(prediction, truth, hole).items()}
        has_hole = np.any(hole, axis=(1, 2))
        return [{name: float(column[i]) for name, column in columns.items()
                 if has_hole[i] or not name.startswith("hole_")} for i in range(len(has_hole))]


def _truncate(x: Float[Array | np.ndarray, "..."]) -> UInt8[Array, "..."]:
    return jnp.floor(jnp.clip(x.astype(jnp.promote_types(x.dtype, jnp.float32)), 0, 1) * 255).astype(jnp.uint8)


# The scripts of EdgeConnect, MAT and AOT-GAN take the mean over all images, infinite values included.
INFINITE = (" The PSNR of an image that equals its truth is infinite, and so is a mean that includes it, as in the "
            "published scripts.")
PROTOCOLS = {
    "default": Protocol(
        "Completed image, rounded to uint8, RGB. PSNR per image with range 255. SSIM with a Gaussian window of 11 "
        "pixels and sigma 1.5, population moments, windows inside the image, mean over channels. l1: mean absolute "
        "difference over pixels and channels, divided by 255." + INFINITE,
        {"psnr": metrics.psnr, "ssim": metrics.ssim, "l1": metrics.l1},
        completes_files=True,
    ),
    "edge_connect": Protocol(
        "As EdgeConnect's scripts/metrics.py. Completed image, truncated to uint8, then grey (0.2125 R + 0.7154 G + "
        "0.0721 B). PSNR of grey with range 1. SSIM of grey with 51 x 51 equal weights, sample moments, windows "
        "inside the image. l1: sum |a - b| / sum (a + b) of grey. The project saves under the truth's file type: its "
        "numbers on JPEG photographs contain JPEG's errors." + INFINITE,
        {"psnr": metrics.psnr, "ssim": partial(metrics.ssim_uniform, size=51), "l1": metrics.relative_l1},
        truncated=True, grey=True,
    ),
    "mat": Protocol(
        "As MAT's cal_psnr_ssim_l1.py: the formulas of default, on the files as they are. Completed image, rounded to "
        "uint8, RGB." + INFINITE,
        {"psnr": metrics.psnr, "ssim": metrics.ssim, "l1": metrics.l1},
    ),
    "lama": Protocol(
        "As LaMa's evaluation. Completed image, truncated to uint8, RGB. SSIM as default, but with a window around "
        "every pixel and black beyond the border. Measures neither PSNR nor l1.",
        {"ssim": metrics.ssim_padded},
        truncated=True,
    ),
    "aot": Protocol(
        "As AOT-GAN's eval.py. Completed image, truncated to uint8, RGB. PSNR per image with range 255. SSIM with "
        "7 x 7 equal weights, sample moments, windows inside the image, mean over channels. l1: sum |a - b| / "
        "sum (a + b) over pixels and channels." + INFINITE,
        {"psnr": metrics.psnr, "ssim": partial(metrics.ssim_uniform, size=7), "l1": metrics.relative_l1},
        truncated=True,
    ),
}  # fmt: skip
