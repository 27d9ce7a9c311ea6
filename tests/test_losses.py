"""The terms of Eq. 13-21 against loops over the equations, and the pixels that each of them reads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from mai_jax import losses
from mai_jax.batch import Batch


def draw(size=(4, 5), valid_share=0.5, seed=0):
    """Return a prediction, the ground truth and `valid`, float64."""
    rng = np.random.default_rng(seed)
    raw, image = (rng.normal(size=(2, *size, 3)) for _ in range(2))
    return raw, image, (rng.random((2, *size, 1)) < valid_share).astype(float)


def draw_features(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in ((2, 4, 6, 3), (2, 2, 3, 5))]


def on_batch(term):
    return jax.jit(lambda raw, image, valid: term(raw, Batch(image, valid)))


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


def total_variation_by_loops(image, valid):
    total = 0
    for di, dj in ((0, 1), (1, 0)):
        terms = []
        for n, i, j, c in np.ndindex(image[:, di:, dj:].shape):
            touches = valid[n, i, j, 0] == 0 or valid[n, i + di, j + dj, 0] == 0
            terms.append(touches * abs(image[n, i, j, c] - image[n, i + di, j + dj, c]))
        total += sum(terms) / len(terms)
    return total


def test_pixel_terms_equal_the_equations(x64):
    raw, image, valid = draw()
    np.testing.assert_allclose(hole_l1(raw, image, valid), l1_by_loops(raw, image, 1 - valid), rtol=1e-10)
    np.testing.assert_allclose(valid_l1(raw, image, valid), l1_by_loops(raw, image, valid), rtol=1e-10)
    np.testing.assert_allclose(total_variation(raw, image, valid), total_variation_by_loops(raw, valid), rtol=1e-10)


def test_feature_terms_equal_the_equations(x64):
    predicted, truth = draw_features(0), draw_features(1)
    by_loops = sum(sum(abs(p[at] - t[at]) for at in np.ndindex(p.shape)) / p.size
                   for p, t in zip(predicted, truth, strict=True))
    np.testing.assert_allclose(perceptual(predicted, truth), by_loops, rtol=1e-10)
    np.testing.assert_allclose(style(predicted, truth), style_by_loops(predicted, truth),
                               rtol=1e-10)


def test_style_does_not_depend_on_positions(x64):
    """Shuffling the positions changes the perceptual term, but not the Gram matrix."""
    (features, _), rng = draw_features(0), np.random.default_rng(3)
    shuffled = rng.permutation(features.reshape(2, 24, 3), axis=1).reshape(features.shape)
    assert style([shuffled], [features]) < 1e-12
    assert perceptual([shuffled], [features]) > 0.1


def test_adversarial_terms_equal_the_equations(x64):
    real, fake = (np.random.default_rng(seed).normal(size=(2, 3, 4, 1)) * 4 for seed in (0, 1))

    def bce(logits, label):
        probabilities = [1 / (1 + np.exp(-logit)) for logit in logits.ravel()]
        terms = [label * np.log(p) + (1 - label) * np.log(1 - p) for p in probabilities]
        return -sum(terms) / len(terms)

    found = adversarial_discriminator(real, fake)
    np.testing.assert_allclose(found, bce(real, 1) + bce(fake, 0), rtol=1e-10)
    np.testing.assert_allclose(adversarial_generator(fake), bce(fake, 1), rtol=1e-10)


def test_adversarial_terms_of_large_logits():
    """Cross-entropy is linear in large logits; the generator has a gradient where its predictions are rejected."""
    large = jnp.full((1, 2, 2, 1), 1000.0)
    assert adversarial_discriminator(large, -large) == 0
    assert adversarial_discriminator(-large, large) == 2000
    assert adversarial_generator(-large) == 1000
    np.testing.assert_array_equal(jax.grad(adversarial_generator)(-large), np.full((1, 2, 2, 1), -0.25))


def test_gradients(x64):
    raw, image, valid = draw((3, 4))
    predicted, truth = draw_features(0), draw_features(1)
    logits = [np.random.default_rng(seed).normal(size=(2, 3, 3, 1)) for seed in (0, 1)]
    for term in (hole_l1, valid_l1, total_variation):
        check_grads(lambda raw, term=term: term(raw, image, valid), (raw,), 1, ["rev"])
    for term in (perceptual, style):
        check_grads(lambda predicted, term=term: term(predicted, truth), (predicted,), 1, ["rev"])
    check_grads(adversarial_generator, logits[1:], 1, ["rev"])
    check_grads(adversarial_discriminator, logits, 1, ["rev"])


def test_each_pixel_term_reads_its_own_pixels_only():
    raw, image, valid = (a.astype(np.float32) for a in draw((6, 7), valid_share=0.8))
    inner = valid.copy()  # valid pixels with valid neighbours only, so that no pair touches the hole
    for axis, shift in ((1, 1), (1, -1), (2, 1), (2, -1)):
        neighbour = np.roll(valid, shift, axis)
        neighbour[(slice(None),) * axis + (0 if shift == 1 else -1,)] = 1
        inner = inner * neighbour
    for term, ignored in ((hole_l1, valid), (valid_l1, 1 - valid), (total_variation, inner)):
        assert 0 < ignored.mean() < 1
        changed = np.where(ignored > 0, np.float32(1e6), raw)
        clean, poisoned = (jax.value_and_grad(term)(a, image, valid) for a in (raw, changed))
        for a, b in zip(clean, poisoned, strict=True):
            np.testing.assert_array_equal(a, b)
        assert not np.any(np.where(ignored > 0, clean[1], 0))
        assert np.any(clean[1])


@pytest.mark.parametrize("valid_share", [0.0, 1.0])
def test_all_hole_and_no_hole(valid_share):
    raw, image, valid = (a.astype(np.float32) for a in draw(valid_share=valid_share))
    for term, zero_at in ((hole_l1, 1), (total_variation, 1), (valid_l1, 0)):
        value, gradient = jax.value_and_grad(term)(raw, image, valid)
        assert np.all(np.isfinite(gradient))
        assert (value == 0) == (valid_share == zero_at)


def test_the_loss_of_the_ground_truth_is_zero():
    raw, image, valid = (a.astype(np.float32) for a in draw())
    features = [f.astype(np.float32) for f in draw_features(0)]
    for value, gradient in (  # |x| has no derivative at zero: any finite gradient is accepted
        jax.value_and_grad(hole_l1)(image, image, valid),
        jax.value_and_grad(valid_l1)(image, image, valid),
        jax.value_and_grad(total_variation)(np.full_like(raw, 0.3), image, valid),
        jax.value_and_grad(perceptual)(features, features),
        jax.value_and_grad(style)(features, features),
    ):
        assert value < 1e-7
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
