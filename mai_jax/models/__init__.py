"""The methods: one file each, all behind the contract of `base.Model`."""

from mai_jax.models.mai import MAI

MODELS = {"mai": MAI}
