"""The terms of Eq. 13-21 against loops over the equations, and which pixels each of them may see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from mai_jax import losses
from mai_jax.types import Batch


def draw(size=(4, 5), known_share=0.5, seed=0):
    """A prediction, the truth and `known`, float64."""
    rng = np.random.default_rng(seed)
    raw, image = (rng.normal(size=(2, *size, 3)) for _ in range(2))
    return raw, image, (rng.random((2, *size, 1)) < known_share).astype(float)


def draw_features(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in ((2, 4, 6, 3), (2, 2, 3, 5))]


def on_batch(term):
    return jax.jit(lambda raw, image, known: term(raw, Batch(image, known)))


hole_l1, valid_l1, total_variation = map(on_batch, (losses.hole_l1, losses.valid_l1, losses.total_variation))
perceptual, style = map(jax.jit, (losses.perceptual, losses.style))
adversarial_generator, adversarial_discriminator = map(
    jax.jit, (losses.adversarial_generator, losses.adversarial_discriminator))


def l1_by_loops(raw, image, weight):
    return sum(abs(raw[at] - image[at]) * weight[*at[:3], 0] for at in np.ndindex(raw.shape)) / raw.size


def style_by_loops(predicted, truth):
    total = 0
    for p, t in zip(predicted, truth, strict=True):
        b, h, w, c = p.shape
        for n in range(b):
            gram = [sum(np.outer(f[n, i, j], f[n, i, j]) for i, j in np.ndindex(h, w)) / (h * w * c) for f in (p, t)]
            total += np.abs(gram[0] - gram[1]).sum() / c**2 / b
    return total


def total_variation_by_loops(image, known):
    total = 0
    for di, dj in ((0, 1), (1, 0)):
        terms = []
        for n, i, j, c in np.ndindex(image[:, di:, dj:].shape):
            touches = known[n, i, j, 0] == 0 or known[n, i + di, j + dj, 0] == 0
            terms.append(touches * abs(image[n, i, j, c] - image[n, i + di, j + dj, c]))
        total += sum(terms) / len(terms)
    return total


def test_pixel_terms_equal_the_equations(x64):
    raw, image, known = draw()
    np.testing.assert_allclose(hole_l1(raw, image, known), l1_by_loops(raw, image, 1 - known), rtol=1e-10)
    np.testing.assert_allclose(valid_l1(raw, image, known), l1_by_loops(raw, image, known), rtol=1e-10)
    np.testing.assert_allclose(total_variation(raw, image, known), total_variation_by_loops(raw, known), rtol=1e-10)


def test_feature_terms_equal_the_equations(x64):
    predicted, truth = draw_features(0), draw_features(1)
    by_loops = sum(sum(abs(p[at] - t[at]) for at in np.ndindex(p.shape)) / p.size
                   for p, t in zip(predicted, truth, strict=True))
    np.testing.assert_allclose(perceptual(predicted, truth), by_loops, rtol=1e-10)
    np.testing.assert_allclose(style(predicted, truth), style_by_loops(predicted, truth),
                               rtol=1e-10)


def test_style_forgets_where_things_stand(x64):
    """A Gram matrix does not change when the positions are shuffled; the perceptual term does."""
    (features, _), rng = draw_features(0), np.random.default_rng(3)
    shuffled = rng.permutation(features.reshape(2, 24, 3), axis=1).reshape(features.shape)
    assert style([shuffled], [features]) < 1e-12
    assert perceptual([shuffled], [features]) > 0.1


def test_adversarial_terms_equal_the_equations(x64):
    real, fake = (np.random.default_rng(seed).normal(size=(2, 3, 4, 1)) * 4 for seed in (0, 1))

    def bce(logits, label):
        said = [1 / (1 + np.exp(-logit)) for logit in logits.ravel()]
        return -sum(label * np.log(p) + (1 - label) * np.log(1 - p) for p in said) / len(said)

    found = adversarial_discriminator(real, fake)
    np.testing.assert_allclose(found, bce(real, 1) + bce(fake, 0), rtol=1e-10)
    np.testing.assert_allclose(adversarial_generator(fake), bce(fake, 1), rtol=1e-10)


def test_adversarial_terms_of_sure_verdicts():
    """Far from the decision BCE is linear; a generator that the discriminator sees through still gets a gradient."""
    sure = jnp.full((1, 2, 2, 1), 1000.0)
    assert adversarial_discriminator(sure, -sure) == 0
    assert adversarial_discriminator(-sure, sure) == 2000
    assert adversarial_generator(-sure) == 1000
    np.testing.assert_array_equal(jax.grad(adversarial_generator)(-sure), np.full((1, 2, 2, 1), -0.25))


def test_gradients(x64):
    raw, image, known = draw((3, 4))
    predicted, truth = draw_features(0), draw_features(1)
    logits = [np.random.default_rng(seed).normal(size=(2, 3, 3, 1)) for seed in (0, 1)]
    for term in (hole_l1, valid_l1, total_variation):
        check_grads(lambda raw, term=term: term(raw, image, known), (raw,), 1, ["rev"])
    for term in (perceptual, style):
        check_grads(lambda predicted, term=term: term(predicted, truth), (predicted,), 1, ["rev"])
    check_grads(adversarial_generator, logits[1:], 1, ["rev"])
    check_grads(adversarial_discriminator, logits, 1, ["rev"])


def test_each_pixel_term_sees_its_own_pixels_only():
    raw, image, known = (a.astype(np.float32) for a in draw((6, 7), known_share=0.8))
    inner = known.copy()  # given pixels that have only given neighbours, so that no pair touches the hole
    for axis, shift in ((1, 1), (1, -1), (2, 1), (2, -1)):
        moved = np.roll(known, shift, axis)
        moved[(slice(None),) * axis + (0 if shift == 1 else -1,)] = 1
        inner = inner * moved
    for term, blind in ((hole_l1, known), (valid_l1, 1 - known), (total_variation, inner)):
        assert 0 < blind.mean() < 1
        dirty = np.where(blind > 0, np.float32(1e6), raw)
        clean, spoilt = (jax.value_and_grad(term)(a, image, known) for a in (raw, dirty))
        for a, b in zip(clean, spoilt, strict=True):
            np.testing.assert_array_equal(a, b)
        assert not np.any(np.where(blind > 0, clean[1], 0))
        assert np.any(clean[1])


@pytest.mark.parametrize("known_share", [0.0, 1.0])
def test_all_hole_and_no_hole(known_share):
    raw, image, known = (a.astype(np.float32) for a in draw(known_share=known_share))
    for term, silent_at in ((hole_l1, 1), (total_variation, 1), (valid_l1, 0)):
        value, gradient = jax.value_and_grad(term)(raw, image, known)
        assert np.all(np.isfinite(gradient))
        assert (value == 0) == (known_share == silent_at)


def test_the_truth_costs_nothing():
    raw, image, known = (a.astype(np.float32) for a in draw())
    features = [f.astype(np.float32) for f in draw_features(0)]
    for value, gradient in (  # |x| has a corner at zero: any finite slope will do
        jax.value_and_grad(hole_l1)(image, image, known),
        jax.value_and_grad(valid_l1)(image, image, known),
        jax.value_and_grad(total_variation)(np.full_like(raw, 0.3), image, known),
        jax.value_and_grad(perceptual)(features, features),
        jax.value_and_grad(style)(features, features),
    ):
        assert value < 1e-7
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
