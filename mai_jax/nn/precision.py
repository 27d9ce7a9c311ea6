"""Compute dtypes of the networks. Parameters, statistics, softmax, norms and losses stay float32 or wider."""

import jax.numpy as jnp
from jaxtyping import Array, Float

DTYPES = ("float32", "bfloat16")


def to_compute_dtype(x: Float[Array, "*shape"], dtype: str) -> Float[Array, "*shape"]:
    """Return `x` as bfloat16 if `dtype` is "bfloat16"; "float32" leaves `x` unchanged, so float64 stays float64."""
    return x.astype(dtype) if dtype == "bfloat16" else x


def to_float32(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return `x` in float32; float64 stays float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
