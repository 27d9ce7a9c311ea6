"""A small LaMa, its batches, and its losses with gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from mai_jax.batch import Batch
from mai_jax.config import VGG16, Config, LaMa, Phase

TINY = Config(
    method="lama", image_size=32, batch_size=2, vgg16=VGG16(weights="random", width=4),
    lama=LaMa(width=4, blocks=2, discriminator_width=4, perceptual=1.0),
    main_phase=Phase(steps=180, learning_rate=2e-3),
)  # fmt: skip
ONE_BLOCK = dataclasses.replace(TINY, lama=dataclasses.replace(TINY.lama, blocks=1))
KEY = jax.random.key(0)


def draw_batch(size: tuple[int, int], dtype=jnp.float32, seed: int = 0) -> Batch:
    """Return two smooth images with holes of several squares."""
    rng = np.random.default_rng(seed)
    image = jax.image.resize(rng.random((2, 5, 5, 3)), (2, *size, 3), "bilinear")
    valid = np.kron(rng.random((2, -(-size[0] // 8), -(-size[1] // 8))) > 0.4, np.ones((8, 8)))[:, : size[0], : size[1]]
    return Batch(jnp.asarray(image, dtype), jnp.asarray(valid[..., None], dtype))


def losses_and_gradients(model, variables, batch):
    """Return terms, totals and gradients of both networks, as a training step computes them."""
    outputs, terms, totals, gradients = {}, {}, {}, {}
    for network in model.networks:

        def loss(own, network=network, outputs=outputs):
            params = {**variables["params"], network: own}
            return model.loss(network, params, variables["batch_stats"], batch, outputs, KEY)

        (total, aux), gradients[network] = jax.value_and_grad(loss, has_aux=True)(variables["params"][network])
        outputs, totals[network] = aux.outputs, total
        terms |= {f"{network}/{name}": term for name, term in aux.logs.items()}
    return terms, totals, gradients
