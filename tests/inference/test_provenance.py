"""Attention sources: the scores of Eq. 8 as the network computes them, at the right position of the photograph."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.batch import Masked
from mai_jax.config import Config, Generator
from mai_jax.errors import InputError
from mai_jax.inference import Inpainter
from mai_jax.inference.provenance import shares, sources, trace
from mai_jax.inference.tiling import BLOCK, Plan, Window
from mai_jax.nn.attention import scores
from tests.untrained import untrained_run

RNG = np.random.default_rng(0)


class FakeInpainter(Inpainter):
    """An Inpainter with given windows and attention inputs."""

    def __init__(self, features: dict[Window, dict[str, Masked]]) -> None:
        self.config = Config(generator=Generator(attention_window=1))
        self.features = features

    def plan(self, hole):
        blocks = [-(-length // BLOCK) for length in hole.shape]
        return Plan(list(self.features), np.full(blocks, next(iter(self.features)).shrink))

    def attention_inputs(self, image, hole, window):
        return self.features[window]


def matching_features(n: int, query: tuple[int, int], match: tuple[int, int] | None) -> Masked:
    """Return n x n features of which only `match` resembles `query`, the only hole; None: there is no background."""
    x, valid = np.zeros((1, n, n, 2), np.float32), np.full((1, n, n, 1), match is not None, np.float32)
    x[..., 0], x[0, *query], valid[0, *query] = 1, (0, 1), 0
    if match:
        x[0, *match] = 0, 7
    return Masked(jnp.asarray(x), jnp.asarray(valid))


def photo_with_hole(shape, *pixels):
    hole = np.zeros(shape, bool)
    hole[*np.transpose(pixels)] = True
    return RNG.integers(0, 256, (*shape, 3), np.uint8), hole


@pytest.mark.parametrize("window", [1, 3, 5])
@pytest.mark.parametrize("scale", [1.0, 10.0, 300.0])
def test_shares_are_the_scores_of_eq_8(window, scale):
    features = Masked(jnp.asarray(RNG.standard_normal((1, 7, 7, 4)), jnp.float32),
                      jnp.asarray(RNG.random((1, 7, 7, 1)) < 0.6, jnp.float32))
    queries = np.argwhere(np.ones((7, 7)))
    expected = np.asarray(scores(features, scale, window), np.float64)[0].reshape(49, 7, 7)
    expected /= expected.sum((1, 2), keepdims=True)
    np.testing.assert_allclose(shares(features, queries, scale, window), expected, rtol=1e-3, atol=1e-6)


def test_a_source_is_the_centre_of_its_cell():
    # Cells of 16 pixels, and of 8; the pixel (30, 45) is in row 24 and column 35 of the window.
    image, hole = photo_with_hole((90, 100), (30, 45), (70, 70))
    fake = FakeInpainter({Window(6, 10, 2, 32): {"attention_2": matching_features(8, (3, 4), (7, 0)),
                                                 "attention_1": matching_features(4, (1, 2), (0, 3))}})
    traces = trace(fake, image, hole)
    assert list(traces) == ["attention_1", "attention_2"]
    for stage, source in {"attention_1": (6 + 0 + 8, 10 + 48 + 8), "attention_2": (6 + 56 + 4, 10 + 0 + 4)}.items():
        assert tuple(traces[stage].source[30, 45]) == source
        assert traces[stage].share[30, 45] > 0.99
        assert np.all(traces[stage].source[~hole] == -1) and np.all(traces[stage].share[~hole] == 0)


def test_every_pixel_of_the_hole_is_traced_to_the_highest_score():
    image, hole = photo_with_hole((48, 48), (0, 0))
    valid = RNG.random((12, 12)) < 0.3
    hole[:] = ~valid.repeat(4, axis=0).repeat(4, axis=1)
    features = Masked(jnp.asarray(RNG.standard_normal((1, 12, 12, 3)), jnp.float32),
                      jnp.asarray(valid[None, ..., None], jnp.float32))
    found = trace(FakeInpainter({Window(0, 0, 1, 48): {"attention_2": features}}), image, hole)["attention_2"]
    weights = np.asarray(scores(features, 10.0, 1))[0].reshape(12, 12, 144)
    best = np.stack(np.divmod(weights.argmax(-1), 12), axis=-1) * 4 + 2
    np.testing.assert_array_equal(found.source[hole], best.repeat(4, axis=0).repeat(4, axis=1)[hole])
    share = (weights.max(-1) / weights.sum(-1)).repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_allclose(found.share[hole], share[hole], rtol=1e-4)


def test_a_window_beyond_the_border_counts_from_its_own_corner():
    image, hole = photo_with_hole((20, 24), (2, 3))
    fake = FakeInpainter({Window(-5, -9, 1, 32): {"attention_2": matching_features(8, (1, 3), (4, 5))}})
    assert tuple(trace(fake, image, hole)["attention_2"].source[2, 3]) == (-5 + 16 + 2, -9 + 20 + 2)
    heatmap = sources(fake, image, hole, 2, 3)["attention_2"]
    assert heatmap[:3] == (-5, -9, 4) and heatmap.weights[4, 5] > 0.99


def test_of_overlapping_windows_the_one_with_the_furthest_edge_counts():
    image, hole = photo_with_hole((60, 60), (10, 20), (10, 26))
    fake = FakeInpainter({Window(0, 0, 1, 32): {"attention_2": matching_features(8, (2, 5), (0, 0))},
                          Window(0, 14, 1, 32): {"attention_2": matching_features(8, (2, 3), (1, 1))}})
    found = trace(fake, image, hole)["attention_2"].source
    assert tuple(found[10, 20]) == (2, 2) and tuple(found[10, 26]) == (6, 20)
    assert [sources(fake, image, hole, 10, column)["attention_2"].left for column in (20, 26)] == [0, 14]


def test_without_background_there_is_no_source():
    image, hole = photo_with_hole((32, 32), (9, 9))
    fake = FakeInpainter({Window(0, 0, 1, 32): {"attention_1": matching_features(4, (1, 1), None)}})
    found = trace(fake, image, hole)["attention_1"]
    assert np.all(found.source == -1) and np.all(found.share == 0)
    assert np.all(sources(fake, image, hole, 9, 9)["attention_1"].weights == 0)


def test_a_method_without_attention_and_a_pixel_outside_the_hole_are_rejected():
    image, hole = photo_with_hole((32, 32), (9, 9))
    for function in (trace, lambda *arguments: sources(*arguments, 9, 9)):
        with pytest.raises(InputError, match="method mai has no attention to show"):
            function(FakeInpainter({Window(0, 0, 1, 32): {}}), image, hole)
    for pixel in ((9, 10), (-23, 9), (32, 9)):
        with pytest.raises(InputError, match="choose a pixel of the hole"):
            sources(FakeInpainter({}), image, hole, *pixel)


@pytest.fixture(scope="module")
def inpainter(tmp_path_factory):
    return Inpainter.from_checkpoint(untrained_run(tmp_path_factory.mktemp("run")), devices=jax.devices()[:1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_sources_of_a_real_network_are_given_pixels(inpainter, dtype):
    image, hole = RNG.integers(0, 256, (40, 52, 3), dtype), np.zeros((40, 52), bool)
    hole[3:12, 20:45] = hole[30:40, 5:9] = True
    traces = trace(inpainter, image, hole)
    assert list(traces) == ["attention_1", "attention_2"]
    heatmaps = sources(inpainter, image, hole, 5, 30)
    for stage, (source, share) in traces.items():
        assert not hole[tuple(source[hole].T)].any() and source[hole].min() >= 0
        assert share[hole].min() > 0 and share.max() <= 1
        assert (len(np.unique(source[hole], axis=0)) > 1) or stage == "attention_1"
        heatmap = heatmaps[stage]
        assert heatmap.weights.sum() == pytest.approx(1, abs=1e-5)
        assert heatmap.weights.max() == pytest.approx(share[5, 30], rel=1e-5)
        strongest = np.array(np.unravel_index(heatmap.weights.argmax(), heatmap.weights.shape))
        assert tuple(source[5, 30]) == tuple(np.array(heatmap[:2]) + strongest * heatmap.cell + heatmap.cell // 2)


def test_an_empty_hole_has_no_sources(inpainter):
    assert trace(inpainter, np.zeros((40, 52, 3), np.uint8), np.zeros((40, 52), bool)) == {}
