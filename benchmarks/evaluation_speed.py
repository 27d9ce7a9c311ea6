"""PSNR and SSIM of 1,000 image-hole pairs at 256 px: the default protocol against scikit-image called in a loop.

python -m benchmarks.evaluation_speed

Both measure the same synthetic images, alternately in one process. Quote the ratio of the medians.
"""

import statistics
import time

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mai_jax.evaluation.protocols import PROTOCOLS

PAIRS, BATCH, SIZE, ROUNDS = 1000, 8, 256, 3


def photographs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (prediction, truth, hole) of one batch: a noisy copy of smooth colour noise, and rectangular holes."""
    truth = gaussian_filter(rng.normal(size=(BATCH, SIZE, SIZE, 3)), (0, 3, 3, 0))
    truth = np.uint8(np.clip(128 + 400 * truth, 0, 255))
    hole = np.zeros((BATCH, SIZE, SIZE), bool)
    hole[:, 60:180, 50:170] = True
    noisy = np.clip(truth + rng.normal(scale=20, size=truth.shape), 0, 255).astype(np.uint8)
    return np.where(hole[..., None], noisy, truth), truth, hole


def by_protocol(prediction: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> list[tuple[float, float]]:
    return [(record["psnr"], record["ssim"]) for record in PROTOCOLS["default"].records(prediction, truth, hole)]


def by_scikit_image(prediction: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> list[tuple[float, float]]:
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return [(peak_signal_noise_ratio(a, b), structural_similarity(a, b, channel_axis=-1, **settings))
            for a, b in zip(truth, prediction, strict=True)]


def main() -> None:
    batch = photographs(np.random.default_rng(0))
    seconds: dict[str, list[float]] = {"mai_jax": [], "scikit-image": []}
    np.testing.assert_allclose(by_protocol(*batch), by_scikit_image(*batch), atol=1e-4)  # also compiles
    for _ in range(ROUNDS):
        for name, measure in (("mai_jax", by_protocol), ("scikit-image", by_scikit_image)):
            begin = time.perf_counter()
            for _ in range(PAIRS // BATCH):
                measure(*batch)
            seconds[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name}: {median:.2f} s for {PAIRS} pairs ({min(seconds[name]):.2f} to {max(seconds[name]):.2f})")
    print(f"scikit-image / mai_jax: {medians['scikit-image'] / medians['mai_jax']:.2f}")


if __name__ == "__main__":
    main()
