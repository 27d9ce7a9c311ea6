"""A computation that is written in one way for CPUs and in another for every other platform."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jaxtyping import Array

Form = Callable[..., Any]


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def by_platform(general: Form, on_cpu: Form, *operands: Array) -> Any:
    """`general(*operands)`, computed as `on_cpu(*operands)` where a CPU computes it.

    Each platform has the gradient of its own form, and keeps nothing for the other's.
    """
    return jax.lax.platform_dependent(*operands, cpu=on_cpu, default=general)


def _forward(general: Form, on_cpu: Form, *operands: Array) -> tuple[Any, tuple[Array, ...]]:
    return by_platform(general, on_cpu, *operands), operands


def _backward(general: Form, on_cpu: Form, operands: tuple[Array, ...], gradient: Any) -> tuple[Array, ...]:
    def pull_back(form: Form) -> Form:
        return lambda gradient, *operands: jax.vjp(form, *operands)[1](gradient)

    return jax.lax.platform_dependent(gradient, *operands, cpu=pull_back(on_cpu), default=pull_back(general))


by_platform.defvjp(_forward, _backward)
