"""Named variants of a config: the methods and the ablations of MAI in the paper's tables.

Every file of configs/ accepts such a name: --config=configs/places2.py:mai_no_attention
"""

from typing import Any

from mai_jax.config import Config
from mai_jax.errors import InputError

VARIANTS: dict[str, dict[str, Any]] = {
    "mai": {},
    "mai_residual": {"generator.merge": "residual"},  # not in the paper: see nn/attention.py
    "pconv": {"method": "pconv"},
    "edge_connect": {"method": "edge_connect"},
    "pic": {"method": "pic"},
    "lama": {"method": "lama"},  # later than the paper
    # Fig. 10 and section 5: no attention; attention at one stage (named by its size at 256 px); loss weights.
    "mai_no_attention": {"generator.attention_stages": ()},
    "mai_attention_32": {"generator.attention_stages": (1,)},
    "mai_attention_64": {"generator.attention_stages": (2,)},
    "mai_adversarial_0": {"losses.adversarial": 0.0},
    "mai_adversarial_0.001": {"losses.adversarial": 0.001},
    "mai_adversarial_1": {"losses.adversarial": 1.0},
    "mai_no_features": {"losses.perceptual": 0.0, "losses.style": 0.0},
    # Not in the paper: the network predicts the difference from a smooth fill.
    "mai_smooth_fill": {"generator.smooth_fill": True},
    "pconv_smooth_fill": {"method": "pconv", "generator.smooth_fill": True},
    # Named as future work in the paper.
    "mai_region_norm": {"generator.norm": "region"},
}


def variant(config: Config, name: str) -> Config:
    """Apply the variant `name` to `config` in place, and return it. Raises InputError for an unknown name."""
    if name not in VARIANTS:
        raise InputError(f"--config=...:{name}: no such variant; give one of {', '.join(VARIANTS)}")
    for path, value in VARIANTS[name].items():
        *parents, field = path.split(".")
        owner = config
        for parent in parents:
            owner = getattr(owner, parent)
        setattr(owner, field, value)
    return config
