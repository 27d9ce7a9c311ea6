"""How a painted photograph is measured, as a preset each: `default` is ours, the others are those of published scripts.

The same pixels give an SSIM 0.02 and a PSNR 0.3 dB apart from one script to the next, so a number without its protocol
says nothing. What a project's script does not measure is missing here, never made up. Files are taken as they are, so
whoever compares with a project that saved JPEG has to give JPEG.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from mai_jax.evaluation import metrics
from mai_jax.visualize import to_uint8

Pixels = UInt8[Array | np.ndarray, "b h w 3"]
Painted = Pixels | Float[Array | np.ndarray, "b h w 3"]
Holes = Bool[Array | np.ndarray, "b h w"]


@dataclass(frozen=True, eq=False)
class Protocol:
    """What is compared, and by which formulas.

    `about` is the definition in words, for a report. `metrics` are functions of two batches in [0, 1].
    """

    about: str
    metrics: Mapping[str, metrics.Metric]
    truncated: bool = False  # levels 0 ... 255 are cut off after the point, not rounded to nearest
    completes_files: bool = False  # a file's pixels outside of the hole give way to the true ones
    grey: bool = False

    def compared(self, painted: Painted, truth: Pixels, hole: Holes) -> UInt8[Array, "b h w 3"]:
        """The pixels that are held against the truth.

        Floats are what a network painted, in [0, 1] and not yet completed: they become levels as the protocol has it,
        and outside of the hole the true pixels take their place, as every project here does before it saves.
        uint8 are the pixels of a file that any program wrote. A published script reads those and no mask, so it
        measures what is wrong outside of the hole too; `default` completes them.
        """
        from_file = painted.dtype == np.uint8
        if not from_file:
            painted = _truncate(painted) if self.truncated else to_uint8(jnp.asarray(painted))
        if from_file and not self.completes_files:
            return jnp.asarray(painted)
        return jnp.where(hole[..., None], painted, truth)

    @partial(jax.jit, static_argnums=0)
    def measure(self, painted: Painted, truth: Pixels, hole: Holes) -> dict[str, Float[Array, "b"]]:
        """Every metric of the protocol, and `hole_psnr` and `hole_l1`: those of `default`, of the hole's pixels only.

        Of an image without a hole the latter two mean nothing (+inf, 0): see `records`. Raises InputError for images
        that are smaller than a window of SSIM.
        """
        # One image at a time stays in the cache of a CPU: twice as fast there as the batch at once.
        one = jax.lax.map(lambda image: self._measure(*(x[None] for x in image)), (painted, truth, hole))
        return {name: column[:, 0] for name, column in one.items()}

    def _measure(self, painted: Painted, truth: Pixels, hole: Holes) -> dict[str, Float[Array, "b"]]:
        a, b = (x.astype(jnp.float32) / 255 for x in (self.compared(painted, truth, hole), truth))
        seen = (metrics.grey(a), metrics.grey(b)) if self.grey else (a, b)
        in_hole = {"hole_psnr": metrics.hole_psnr(a, b, hole), "hole_l1": metrics.hole_l1(a, b, hole)}
        return {name: metric(*seen) for name, metric in self.metrics.items()} | in_hole

    def records(self, painted: Painted, truth: Pixels, hole: Holes) -> list[dict[str, float]]:
        """`measure` as one dict per image; `hole_psnr` and `hole_l1` are not in that of an image without a hole."""
        columns = {name: np.asarray(column) for name, column in self.measure(painted, truth, hole).items()}
        holed = np.asarray(hole).any((1, 2))
        return [{name: float(column[i]) for name, column in columns.items() if holed[i] or not name.startswith("hole_")}
                for i in range(len(holed))]


def _truncate(x: Float[Array | np.ndarray, "..."]) -> UInt8[Array, "..."]:
    return jnp.floor(jnp.clip(x.astype(jnp.promote_types(x.dtype, jnp.float32)), 0, 1) * 255).astype(jnp.uint8)


PROTOCOLS = {
    "default": Protocol(
        "Completed image, rounded to uint8, RGB. PSNR per image with range 255. SSIM with a Gaussian window of 11 "
        "pixels and sigma 1.5, population moments, windows inside the image, mean over channels. l1: mean absolute "
        "difference over pixels and channels, divided by 255.",
        {"psnr": metrics.psnr, "ssim": metrics.ssim, "l1": metrics.l1},
        completes_files=True,
    ),
    "edge_connect": Protocol(
        "As EdgeConnect's scripts/metrics.py. Completed image, truncated to uint8, then grey (0.2125 R + 0.7154 G + "
        "0.0721 B). PSNR of grey with range 1. SSIM of grey with 51 x 51 equal weights, sample moments, windows "
        "inside the image. l1: sum |a - b| / sum (a + b) of grey. The project saves under the truth's file type: its "
        "numbers on JPEG photographs contain JPEG's errors.",
        {"psnr": metrics.psnr, "ssim": partial(metrics.ssim_uniform, size=51), "l1": metrics.relative_l1},
        truncated=True, grey=True,
    ),
    "mat": Protocol(
        "As MAT's cal_psnr_ssim_l1.py: the formulas of default, on the files as they are. Completed image, rounded to "
        "uint8, RGB.",
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
        "sum (a + b) over pixels and channels.",
        {"psnr": metrics.psnr, "ssim": partial(metrics.ssim_uniform, size=7), "l1": metrics.relative_l1},
        truncated=True,
    ),
}  # fmt: skip
