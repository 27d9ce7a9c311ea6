"""The generator against the paper's tables; the hole's content has no influence; extreme holes stay finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax.batch import Batch
from mai_jax.config import VGG16, Config, Discriminator, Generator
from mai_jax.errors import InputError
from mai_jax.models.mai import MAI
from mai_jax.models.pconv import PConv

# Table 2: kernel, in channels, out channels; Table 1: BatchNorm. Attention stages: their channels.
CONVS = [
    (7, 3, 64, False), (5, 64, 128, True), (5, 128, 256, True), (3, 256, 512, True),
    (3, 512, 512, True), (3, 512, 512, True), (3, 512, 512, True), (3, 512, 512, True),
    (3, 512 + 512, 512, True), (3, 512 + 512, 512, True), (3, 512 + 512, 512, True), (3, 512 + 512, 512, True),
    (3, 512 + 256, 256, True), (3, 256 + 128, 128, True), (3, 128 + 64, 64, True), (3, 64 + 3, 3, False),
]  # fmt: skip
ATTENTION = [256, 128]
# Table 3: in channels, out channels.
DISCRIMINATOR = [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)]

FAST_COMPILE = {"xla_backend_optimization_level": 0}


def small(size: int = 32) -> Config:
    return Config(
        image_size=size, generator=Generator(width=4, se_reduction=4), discriminator=Discriminator(width=4),
        vgg16=VGG16(weights="random", width=4),
    )  # fmt: skip


def random_batch(seed: int, size: tuple[int, int] = (32, 32), n: int = 2) -> Batch:
    rng = np.random.default_rng(seed)
    image, valid = rng.random((n, *size, 3)), rng.random((n, *size, 1)) > 0.4
    return Batch(jnp.asarray(image, jnp.float32), jnp.asarray(valid, jnp.float32))


@pytest.fixture(scope="module")
def model_and_variables():
    model = MAI(small())
    return model, jax.jit(model.init, compiler_options=FAST_COMPILE)(jax.random.key(0), random_batch(0))


def count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_counts_are_those_of_the_tables():
    model = MAI(Config())
    shape = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32), jax.ShapeDtypeStruct((1, 256, 256, 1), jnp.float32)
    params = jax.eval_shape(lambda image, valid: model.init(jax.random.key(0), Batch(image, valid)), *shape)["params"]
    convs = sum(k * k * i * o + (2 * o if norm else o) for k, i, o, norm in CONVS)
    attention = sum(2 * (2 * c) * (2 * c // 16) + 2 * c * c + c for c in ATTENTION)
    assert count(params["generator"]) == convs + attention
    assert count(params["discriminator"]) == sum(16 * i * o + o for i, o in DISCRIMINATOR)


@pytest.mark.parametrize("size", [32, 64, 256])
def test_attention_maps_are_an_eighth_and_a_quarter_of_the_image_at_every_depth(size):
    model = MAI(small(size))

    def predict():
        batch = Batch(jnp.zeros((1, size, size, 3)), jnp.ones((1, size, size, 1)))
        return model.predict(model.init(jax.random.key(0), batch), batch, jax.random.key(0)).aux

    aux = jax.eval_shape(predict)
    assert [aux[f"attention_{i}"].x.shape[1] for i in (1, 2)] == [size // 8, size // 4]


@pytest.mark.parametrize("method", [MAI, PConv])
def test_vgg_is_not_read_if_the_feature_terms_have_no_weight(method):
    config = small()
    config.vgg16 = VGG16(weights="/nowhere/vgg16.safetensors")
    with pytest.raises(InputError, match="nowhere"):
        method(config).prepare()
    config.losses.perceptual = config.losses.style = 0.0
    model, batch = method(config), random_batch(0)
    model.prepare()

    def loss():
        variables = model.init(jax.random.key(0), batch)
        return model.loss("generator", **variables, batch=batch, outputs={}, rng=jax.random.key(0))[1].logs

    terms = {"hole", "valid", "total_variation"} | ({"adversarial"} if method is MAI else set())
    assert set(jax.eval_shape(loss)) == terms


def test_the_holes_content_changes_no_output_bit_and_no_gradient(model_and_variables):
    model, variables = model_and_variables
    clean = random_batch(1)
    poisoned = clean._replace(image=jnp.where(clean.valid > 0, clean.image, 1e6))

    @jax.jit
    def prediction_and_gradient(variables, batch):
        def predict(own):
            params = {**variables["params"], "generator": own}
            return model.predict({**variables, "params": params}, batch, jax.random.key(0)).raw

        own = variables["params"]["generator"]
        return predict(own), jax.grad(lambda own: jnp.sum(jnp.sin(predict(own))))(own)

    results = (jax.tree.leaves(prediction_and_gradient(variables, batch)) for batch in (clean, poisoned))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def losses_and_gradients(model_and_variables):
    """Return the function from a batch to ((loss, aux), gradients) of each network."""
    model, variables = model_and_variables
    params, batch_stats = variables["params"], variables["batch_stats"]

    @jax.jit
    def losses_and_gradients(batch):
        def loss(own, network, outputs):
            return model.loss(network, {**params, network: own}, batch_stats, batch, outputs, jax.random.key(0))

        first = jax.value_and_grad(loss, has_aux=True)(params["generator"], "generator", {})
        outputs = first[0][1].outputs
        return first, jax.value_and_grad(loss, has_aux=True)(params["discriminator"], "discriminator", outputs)

    return losses_and_gradients


@pytest.mark.parametrize("valid", [0.0, 1.0], ids=["all hole", "no hole"])
def test_extreme_holes_are_finite_and_so_are_their_gradients(losses_and_gradients, valid):
    batch = random_batch(2)
    for leaf in jax.tree.leaves(losses_and_gradients(batch._replace(valid=jnp.full_like(batch.valid, valid)))):
        assert jnp.isfinite(leaf).all()


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (1, 1), (70, 16)])
def test_any_size_is_predicted_and_given_pixels_are_kept(model_and_variables, size):
    model, variables = model_and_variables
    batch = random_batch(3, size)
    completion = jax.jit(model.predict)(variables, batch, jax.random.key(0))
    assert completion.raw.shape == batch.image.shape
    given = np.broadcast_to(batch.valid > 0, batch.image.shape)
    np.testing.assert_array_equal(np.asarray(completion.image)[given], np.asarray(batch.image)[given])
    np.testing.assert_array_equal(np.asarray(completion.image)[~given], np.asarray(completion.raw)[~given])


def test_finetuning_keeps_the_encoders_statistics_and_no_others(model_and_variables):
    _, variables = model_and_variables
    model, batch, batch_stats = MAI(small(), "finetune"), random_batch(4), variables["batch_stats"]["generator"]
    _, aux = jax.jit(lambda: model.loss("generator", **variables, batch=batch, outputs={}, rng=jax.random.key(0)))()
    changed = {name for name, old in batch_stats.items()
               if any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (old, aux.batch_stats[name])), strict=True))}
    assert changed == {name for name in batch_stats if name.startswith("decode")}
