"""Every protocol against a NumPy version of its published script, on the same pixels."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate, gaussian_filter
from skimage import data
from skimage.color import rgb2gray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mai_jax.errors import InputError
from mai_jax.evaluation.protocols import PROTOCOLS

TOLERANCE = {"psnr": 1e-5, "ssim": 2e-6, "l1": 1e-7, "hole_psnr": 1e-5, "hole_l1": 1e-7}


def photographs(size):
    whole = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    return np.stack([image[30 : 30 + size, 120 : 120 + size] for image in whole])


def holes(size):
    """Return holes of 8 x 8 blocks: about 5, 30 and 60 % of the image, and all of it."""
    share = np.reshape([0.05, 0.3, 0.6, 1], (4, 1, 1))
    return (np.random.default_rng(1).random((4, size // 8, size // 8)) < share).repeat(8, axis=1).repeat(8, axis=2)


def predictions(size):
    """Return valid pixels smoothed into the hole, with noise: floats slightly outside [0, 1], as of a network."""
    truth, hole = photographs(size) / 255, holes(size)
    valid = 1 - (hole & (np.arange(4) < 3).reshape(4, 1, 1))[..., None]
    smoothed, weight = (gaussian_filter(x, (0, 6, 6, 0)) for x in (truth * valid, valid * np.ones_like(truth)))
    return np.float32(smoothed / weight + np.random.default_rng(0).normal(scale=0.01, size=truth.shape))


def nearest(x):
    return np.floor(x + 0.5)


def completed(prediction, truth, hole, rounding):
    """Return the completed image as a project saves it."""
    return np.where(hole[..., None], rounding(np.clip(prediction, 0, 1) * 255).astype(np.uint8), truth)


def edge_connect(file, truth):
    a, b = rgb2gray(truth / 255), rgb2gray(file / 255)
    return {
        "psnr": peak_signal_noise_ratio(a, b, data_range=1),
        "ssim": structural_similarity(a, b, data_range=1, win_size=51),
        "l1": np.sum(np.abs(a - b)) / np.sum(a + b),
    }


def gaussian_similarity(a, b, border):
    """Return the SSIM of Wang et al. with zero padding, without the outer `border` pixels."""
    weights = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window = np.outer(weights, weights)[..., None] / weights.sum() ** 2

    def mean(x):
        return correlate(x, window, mode="constant")[border : len(x) - border, border : x.shape[1] - border]

    var_a, var_b, cov = mean(a * a) - mean(a) ** 2, mean(b * b) - mean(b) ** 2, mean(a * b) - mean(a) * mean(b)
    luminance = (2 * mean(a) * mean(b) + 0.01**2) / (mean(a) ** 2 + mean(b) ** 2 + 0.01**2)
    return np.mean(luminance * (2 * cov + 0.03**2) / (var_a + var_b + 0.03**2))


def mat(file, truth):
    a, b = truth / 255, file / 255
    psnr = 20 * np.log10(1 / np.sqrt(np.mean((a - b) ** 2)))
    return {"psnr": psnr, "ssim": gaussian_similarity(a, b, border=5), "l1": np.mean(np.abs(a - b))}


def lama(file, truth):
    return {"ssim": gaussian_similarity(truth / 255, file / 255, border=0)}


def aot(file, truth):
    return {
        "psnr": peak_signal_noise_ratio(truth, file),
        "ssim": structural_similarity(truth, file, channel_axis=-1),
        "l1": np.abs(truth.astype(float) - file).sum() / (truth.astype(float) + file).sum(),
    }


def default(file, truth):
    ssim = structural_similarity(truth, file, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                                 channel_axis=-1)
    return {"psnr": peak_signal_noise_ratio(truth, file), "ssim": ssim, "l1": np.abs(truth / 255 - file / 255).mean()}


SCRIPTS = {"default": (default, nearest), "edge_connect": (edge_connect, np.floor), "mat": (mat, nearest),
           "lama": (lama, np.floor), "aot": (aot, np.floor)}  # fmt: skip


def assert_agree(records, files, truth, script):
    for record, file, true in zip(records, files, truth, strict=True):
        expected = script(file, true)
        assert {name for name in record if not name.startswith("hole_")} == set(expected)
        for name, value in expected.items():
            assert record[name] == pytest.approx(value, rel=0, abs=TOLERANCE[name])


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_agrees_with_its_script(name, size):
    protocol, (script, rounding) = PROTOCOLS[name], SCRIPTS[name]
    prediction, truth, hole = predictions(size), photographs(size), holes(size)
    files = completed(prediction, truth, hole, rounding)
    assert np.array_equal(protocol.compared(prediction, truth, hole), files)
    assert_agree(protocol.records(prediction, truth, hole), files, truth, script)
    assert_agree(protocol.records(files, truth, hole), files, truth, script)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_files_are_compared_as_by_the_script(name):
    """Changes outside the hole count if the script does not use masks."""
    protocol, (script, _) = PROTOCOLS[name], SCRIPTS[name]
    truth, hole = photographs(64), holes(64)
    files = np.uint8(np.clip(predictions(64), 0, 1) * 255)
    measured = completed(files / 255, truth, hole, nearest) if name == "default" else files
    assert_agree(protocol.records(files, truth, hole), measured, truth, script)


def test_protocols_differ_on_the_same_pixels_as_published_scripts_do():
    args = predictions(256)[:3], photographs(256)[:3], holes(256)[:3]
    mean = {name: {metric: np.mean(column) for metric, column in protocol.measure(*args).items()}
            for name, protocol in PROTOCOLS.items()}
    assert 0.01 < mean["edge_connect"]["ssim"] - mean["default"]["ssim"] < 0.1
    assert 0 < mean["lama"]["ssim"] - mean["mat"]["ssim"] < 0.02
    assert 0.1 < mean["edge_connect"]["psnr"] - mean["mat"]["psnr"] < 0.5
    assert mean["mat"]["psnr"] == mean["default"]["psnr"]
    assert abs(mean["aot"]["psnr"] - mean["mat"]["psnr"]) < 0.02


@pytest.mark.parametrize("name", PROTOCOLS)
def test_metrics_of_the_hole_are_equal_in_all_protocols(name):
    truth, hole = photographs(64), holes(64)
    files = completed(predictions(64), truth, hole, nearest)
    for record, file, true, where in zip(PROTOCOLS[name].records(files, truth, hole), files, truth, hole, strict=True):
        inside = true[where] / 255, file[where] / 255
        assert record["hole_psnr"] == pytest.approx(peak_signal_noise_ratio(*inside, data_range=1), abs=1e-5)
        assert record["hole_l1"] == pytest.approx(np.abs(inside[0] - inside[1]).mean(), abs=1e-7)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_records_without_a_hole_have_no_metrics_of_it(name):
    truth, hole = photographs(64), holes(64)
    hole[1] = False
    columns = PROTOCOLS[name].measure(predictions(64), truth, hole)
    assert not any(np.isnan(column).any() for column in columns.values())
    for i, record in enumerate(PROTOCOLS[name].records(predictions(64), truth, hole)):
        assert ("hole_psnr" in record) == ("hole_l1" in record) == (i != 1)
        assert record["ssim"] == 1 if i == 1 else record["ssim"] < 1


@pytest.mark.parametrize("name", PROTOCOLS)
def test_an_exact_copy_has_the_best_values(name):
    """Of files and of raw predictions, for every level in every channel, also among other images."""
    truth, hole = photographs(64), holes(64)
    truth[3] = np.random.default_rng(2).permuted(np.tile(np.arange(256, dtype=np.uint8), (3, 16)), axis=1).T.reshape(
        64, 64, 3)
    best = {"psnr": np.inf, "ssim": 1, "l1": 0, "hole_psnr": np.inf, "hole_l1": 0}
    for copy in (truth, np.float32(truth) / 255):
        for record in PROTOCOLS[name].records(copy, truth, hole):
            assert record == {metric: best[metric] for metric in record}
    mixed = np.where(np.reshape([True, False, True, False], (4, 1, 1, 1)), truth, truth[::-1])
    for i, record in enumerate(PROTOCOLS[name].records(mixed, truth, hole)):
        assert (record["ssim"] == 1) == (i % 2 == 0) and (record["hole_psnr"] == np.inf) == (i % 2 == 0)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_levels_are_unchanged_by_conversion_to_float_and_back(name):
    """Truncation would lose a level if k / 255 * 255 were less than k."""
    levels = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), (1, 16, 16, 3))
    hole = np.ones((1, 16, 16), bool)
    for prediction in (np.float32(levels) / 255, jnp.asarray(levels, jnp.float32) / 255):
        assert np.array_equal(PROTOCOLS[name].compared(prediction, levels, hole), levels)


def test_images_smaller_than_a_window_are_rejected():
    args = predictions(64)[:, :, :48], photographs(64)[:, :, :48], holes(64)[:, :, :48]
    assert PROTOCOLS["default"].measure(*args)["ssim"].shape == (4,)
    with pytest.raises(InputError, match="51 x 51, these have 64 x 48"):
        PROTOCOLS["edge_connect"].measure(*args)
