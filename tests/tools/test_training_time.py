"""The least hours of training of the published configs."""

import pytest

from mai_jax.errors import InputError
from tools import training_time
from tools.roofline import CHIPS
from tools.training_time import Machine

STORE = {
    "tpu": {"chip": "v5e", "size": 256, "found": {"flops": 2 * CHIPS["v5e"].flops, "hbm_bytes": 0, "collectives": {}}},
    "gpu": {"chip": "h100", "batch": 6, "flops": 0, "hbm_bytes": 3 * CHIPS["h100"].hbm_rate,
            "collectives": {"all-reduce": [1, 4 * CHIPS["h100"].link_rate]}},
}  # fmt: skip


def test_hours_are_steps_times_the_slowest_resource():
    assert training_time.hours(Machine("", "v5e", 8, "tpu"), STORE, 8 * 16 * 3600) == pytest.approx(2)
    assert training_time.hours(Machine("", "h100", 1, "gpu"), STORE, 6 * 3600) == pytest.approx(3)
    assert training_time.hours(Machine("", "h100", 8, "gpu"), STORE, 8 * 6 * 3600) == pytest.approx(4 * 2 * 7 / 8)


def test_the_page_has_every_machine_and_the_images_of_both_phases(monkeypatch):
    config = training_time.load("places2")
    assert training_time.trained_images(config) == 6 * (2_000_000 + 1_000_000)
    machines = (Machine("v5e-8", "v5e", 8, "tpu"), Machine("one", "h100", 1, "gpu"))
    monkeypatch.setattr(training_time, "MACHINES", machines)
    text = training_time.page(STORE, {"places2": 8 * 16 * 3600, "celeba": 6 * 36_000_000})
    assert "| v5e-8 | 8 | 16 | 2.0 | 16.0 |" in text and "| one | 1 | 6 | 64.0 | 64.0 | 30,000.0 | 30,000.0 |" in text
    assert "`places2` 0.4608 million, `celeba` 216 million" in text


def test_prices():
    assert training_time.parse_prices("h100:2.5,v5e:1") == {"h100": 2.5, "v5e": 1.0}
    assert training_time.parse_prices("") == {}
    for text, message in (("h100:x", "not a number"), ("h100", "not a number"), ("v9:1", "v9.*there are v5e")):
        with pytest.raises(InputError, match=message):
            training_time.parse_prices(text)
