"""The methods: one file each, all behind the contract of `base.Model`."""

from mai_jax.models.mai import MAI
from mai_jax.models.pconv_unet import PConv

MODELS = {"mai": MAI, "pconv": PConv}
