"""The names behind --config=FILE:NAME."""

import pytest

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.errors import InputError
from mai_jax.models import MODELS, TITLES
from mai_jax.variants import VARIANTS, variant


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_changes_its_fields_and_nothing_else(name):
    config = variant(Config(), name)
    config_lib.check(config)
    changed = {line.split(":")[0].removeprefix("config.") for line in config_lib.differences(Config(), config)}
    assert changed == set(VARIANTS[name])


def test_the_error_for_an_unknown_name_lists_the_variants():
    with pytest.raises(InputError, match="mai_no_attention"):
        variant(Config(), "mia")


def test_every_method_has_a_title_for_tables():
    assert set(TITLES) == set(MODELS)
