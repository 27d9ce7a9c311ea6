"""In which numbers a network computes. Parameters, statistics, softmax, norms and losses stay float32 at least."""

import jax.numpy as jnp
from jaxtyping import Array, Float

DTYPES = ("float32", "bfloat16")


def narrow(x: Float[Array, "*shape"], dtype: str) -> Float[Array, "*shape"]:
    """`x` as bfloat16 if `dtype` says so; "float32" leaves it as it is, so that a check in float64 remains one."""
    return x.astype(dtype) if dtype == "bfloat16" else x


def wide(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`x` in float32, or float64 if it is that."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
