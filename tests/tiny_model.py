"""A method of one convolution, which compiles at once, with running statistics: for tests of training itself."""

import flax.linen as nn
import jax.numpy as jnp

from mai_jax import losses
from mai_jax.batch import Completion, complete
from mai_jax.config import Config, Data, Phase, Run
from mai_jax.models.base import Aux, adam, weighted_sum


class Tiny:
    """Its width is that of `config.generator`. The statistics are the running mean of the prediction by channel."""

    networks = ("generator",)

    def __init__(self, config, phase="main"):
        self.config = config
        self.generator = nn.Sequential([nn.Conv(config.generator.width, (3, 3)), nn.relu, nn.Conv(3, (3, 3))])

    def prepare(self):
        pass

    def make_optimizers(self, schedule):
        return {"generator": adam(self.config.generator.adam, schedule)}

    def init(self, rng, batch):
        params = self.generator.init(rng, self._inputs(batch))["params"]
        return {"params": {"generator": params}, "batch_stats": {"generator": {"mean": jnp.zeros(3)}}}

    def loss(self, network, params, batch_stats, batch, outputs, rng):
        raw = self.generator.apply({"params": params["generator"]}, self._inputs(batch))
        terms = {"hole": losses.hole_l1(raw, batch), "valid": losses.valid_l1(raw, batch)}
        statistics = {"mean": 0.9 * batch_stats["generator"]["mean"] + 0.1 * raw.mean((0, 1, 2))}
        return weighted_sum(terms, self.config.losses), Aux({"raw": raw}, statistics, terms)

    def predict(self, variables, batch, rng):
        raw = self.generator.apply({"params": variables["params"]["generator"]}, self._inputs(batch))
        return Completion(raw, complete(raw, batch), {})

    def _inputs(self, batch):
        return jnp.concatenate([jnp.where(batch.valid > 0, batch.image, 0), batch.valid], axis=-1)


def tiny_config(photographs: str, steps: int, **fields) -> Config:
    """Return the config of a run of `Tiny` that saves every second step; `fields` are config fields."""
    config = Config(method="tests.tiny_model:Tiny", image_size=32, batch_size=8, main_phase=Phase(steps=steps),
                    data=Data(train=photographs, test=photographs, shorter_side=32),
                    run=Run(save_every=2, keep_checkpoints=99, log_every=1, validation_every=1000, validation_images=1))
    config.generator.width, config.evaluation.edges = 4, (0.1, 0.3)
    for name, value in fields.items():
        setattr(config, name, value)
    return config


def get_config(name: str = "") -> Config:
    """Return the config for commands."""
    return tiny_config("sample_photos", 2)
