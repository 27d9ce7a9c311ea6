"""FID against NumPy's covariance, SciPy's matrix root and PyTorch's resizing; streaming statistics; the cache."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from mai_jax.errors import InputError
from mai_jax.evaluation import fid
from mai_jax.nn import inception

DIMS = inception.FEATURES


def random_features(seed, n, dims=24):
    """Return correlated features of different variances with a large mean, as those of a network."""
    rng = np.random.default_rng(seed)
    return 3 + rng.normal(size=(n, dims)) @ rng.normal(size=(dims, dims)) + rng.normal(size=dims)


def levels(n, seed=0, height=40, width=56):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)


def textbook(x, y):
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(s @ t)
    return np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2) + np.trace(s + t - 2 * root.real)


def test_distance_is_the_textbook_formula():
    x, y = random_features(0, 300), random_features(1, 200)
    np.testing.assert_allclose(fid.distance(fid.describe(x), fid.describe(y)), textbook(x, y), rtol=1e-10)


def test_distance_with_singular_covariances():
    """The trace of the root equals the nuclear norm of the cross products of the samples, without covariances."""
    x, y = random_features(0, 9), random_features(1, 13)
    a, b = ((z - z.mean(axis=0)) / np.sqrt(len(z) - 1) for z in (x, y))
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.sum(a**2) + np.sum(b**2) - 2 * np.linalg.norm(a @ b.T, "nuc")
    np.testing.assert_allclose(fid.distance(fid.describe(x), fid.describe(y)), expected, rtol=1e-10)


@pytest.mark.parametrize("n", [2, 10, 400])
def test_the_distance_of_equal_sets_is_zero(n):
    for seed in range(10):  # rounding errors of both signs
        x = random_features(seed, n)
        assert 0 <= fid.distance(fid.describe(x), fid.describe(x[::-1])) < 1e-10 * np.sum(x.var(axis=0))


def test_distance_is_symmetric_and_depends_on_mean_and_variance():
    x = random_features(3, 400)
    a, shifted, scaled = (fid.describe(z) for z in (x, x + 0.5, x.mean(axis=0) + 2 * (x - x.mean(axis=0))))
    np.testing.assert_allclose(fid.distance(a, shifted), 24 * 0.5**2, rtol=1e-8)
    np.testing.assert_allclose(fid.distance(a, scaled), np.trace(a.scatter) / 399, rtol=1e-8)  # (2 - 1)^2 tr S
    np.testing.assert_allclose(fid.distance(a, scaled), fid.distance(scaled, a), rtol=1e-12)


def test_few_images_are_warned_of_and_one_is_rejected(caplog):
    x = random_features(4, 400)
    with caplog.at_level(logging.WARNING):
        fid.distance(fid.describe(x), fid.describe(x))
        assert not caplog.messages
        fid.distance(fid.describe(x), fid.describe(x[:20]))
    assert "FID of 400 images against 20" in caplog.text
    with pytest.raises(InputError, match="a set of 1 has no covariance"):
        fid.distance(fid.describe(x), fid.describe(x[:1]))


@pytest.mark.parametrize("cuts", [[1], [3, 50, 51], [200]])
def test_merged_statistics_equal_those_of_the_union(cuts):
    x = 1e3 + random_features(5, 201)  # E[x^2] - E[x]^2 would lose six digits here
    whole = fid.Statistics(0, np.zeros(24), np.zeros((24, 24)))
    for part in np.split(x, cuts):
        whole = fid.merge(whole, fid.describe(part))
    assert whole.count == 201
    np.testing.assert_allclose(whole.mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(whole.scatter / 200, np.cov(x, rowvar=False), rtol=0, atol=1e-11)


@pytest.fixture(scope="module")
def params():
    """Return random parameters of the network."""
    image = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)
    shapes = jax.eval_shape(inception.Inception().init, jax.random.key(0), image)["params"]
    rng = np.random.default_rng(0)

    def draw(leaf):
        spread = np.sqrt(2 / max(1, np.prod(leaf.shape[:-1])))
        return jnp.asarray(rng.standard_normal(leaf.shape, np.float32) * np.float32(spread * (len(leaf.shape) == 4)))

    return jax.tree.map(draw, shapes)


def test_statistics_equal_pytorch_resizing_and_numpy_covariance(params):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
    small, large = levels(3), levels(2, 1, 400, 310)
    resized = [
        torch.nn.functional.interpolate(torch.tensor(batch / np.float32(255)).permute(0, 3, 1, 2), size=(299, 299),
                                        mode="bilinear", align_corners=False)
        for batch in (small, large)
    ]  # fmt: skip
    inputs = (2 * torch.cat(resized) - 1).permute(0, 2, 3, 1).numpy()
    expected = np.float64(jax.jit(inception.Inception().apply)({"params": params}, inputs))

    found = fid.statistics(params, [small, large])
    assert found.count == 5
    np.testing.assert_allclose(found.mean, expected.mean(axis=0), rtol=0, atol=1e-5 * expected.max())
    covariance = np.cov(expected, rowvar=False)
    np.testing.assert_allclose(found.scatter / 4, covariance, rtol=0, atol=1e-5 * covariance.max())


@pytest.fixture
def pixels_as_features(monkeypatch):
    """Replace the network by one that returns the first pixels as features, and record the batch shapes."""
    calls = []

    def features(params, images):
        calls.append(images.shape)
        return images.reshape(len(images), -1)[:, :DIMS]

    monkeypatch.setattr(fid, "features", features)
    return calls


def test_grouping_into_batches_makes_no_difference(pixels_as_features, monkeypatch):
    monkeypatch.setattr(fid, "CHUNK", 10)
    images = levels(29)
    rows = images.reshape(29, -1)[:, :DIMS] / 255
    for cuts in ([], [8, 16, 24], [1, 12, 13]):
        found = fid.statistics({}, np.split(images, cuts))
        assert found.count == 29
        np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(found.scatter / 28, np.cov(rows, rowvar=False), rtol=0, atol=1e-6)
    assert {shape[0] for shape in pixels_as_features} == {32, 8, 16}  # padded to a multiple of the number of devices


def test_no_images_are_rejected():
    with pytest.raises(InputError, match="no images"):
        fid.statistics({}, [])


def test_cache_returns_the_same_statistics_without_computing(pixels_as_features, tmp_path):
    weights, images = {"kernel": np.ones((2, 3), np.float32)}, levels(5)
    first = fid.cached_statistics(tmp_path / "new" / "folder", weights, lambda: [images])
    computed = len(pixels_as_features)
    again = fid.cached_statistics(tmp_path / "new" / "folder", weights, lambda: iter([images[:2], images[2:]]))
    assert len(pixels_as_features) == computed
    assert again.count == first.count == 5
    np.testing.assert_array_equal(again.mean, first.mean)
    np.testing.assert_array_equal(again.scatter, first.scatter)


def test_cache_depends_on_pixels_sizes_and_weights(pixels_as_features, tmp_path):
    weights, images = {"kernel": np.ones((2, 3), np.float32)}, levels(5)
    one_level_off = images.copy()
    one_level_off[4, 39, 55, 2] ^= 1
    other_weights = {"kernel": np.float32([[1, 1, 1], [1, 1, 1.0000001]])}
    sets = ((weights, images), (weights, one_level_off), (weights, images.reshape(5, 56, 40, 3)),
            (other_weights, images), (weights, images[:4]))  # fmt: skip
    for some_weights, batch in sets:
        before = len(pixels_as_features)
        fid.cached_statistics(tmp_path, some_weights, lambda batch=batch: [batch])
        assert len(pixels_as_features) == before + 1
    assert len(list(tmp_path.iterdir())) == 5


def test_a_damaged_cache_file_is_detected(monkeypatch, tmp_path):
    """For any wrong or missing byte: either one line that names the file, or the correct values."""
    truth = fid.describe(random_features(6, 50, 3))
    monkeypatch.setattr(fid, "statistics", lambda params, batches: truth)
    fid.cached_statistics(tmp_path, {}, lambda: [levels(1)])
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    flipped = [whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1 :] for i in range(len(whole))]
    cut = [whole[:length] for length in range(0, len(whole), 7)]
    detected = 0
    for damaged in flipped + cut + [b"", b"a page that says that the file has moved"]:
        path.write_bytes(damaged)
        try:
            found = fid.cached_statistics(tmp_path, {}, lambda: [levels(1)])
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            detected += 1
        else:
            assert damaged in flipped
            assert all(np.array_equal(a, b) for a, b in zip(found, truth, strict=True))
    assert detected > len(cut) + len(np.concatenate([truth.mean, truth.scatter.ravel()]).tobytes())
