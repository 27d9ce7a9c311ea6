"""A computation with one implementation for CPUs and another for every other platform."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jaxtyping import Array

Form = Callable[..., Any]


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def by_platform(general: Form, on_cpu: Form, *operands: Array) -> Any:
    """Return `on_cpu(*operands)` on a CPU and `general(*operands)` on every other platform.

    Each platform differentiates its own implementation and saves no residuals of the other.
    """
    return jax.lax.platform_dependent(*operands, cpu=on_cpu, default=general)


def _forward(general: Form, on_cpu: Form, *operands: Array) -> tuple[Any, tuple[Array, ...]]:
    return by_platform(general, on_cpu, *operands), operands


def _backward(general: Form, on_cpu: Form, operands: tuple[Array, ...], gradient: Any) -> tuple[Array, ...]:
    def pull_back(form: Form) -> Form:
        return lambda gradient, *operands: jax.vjp(form, *operands)[1](gradient)

    return jax.lax.platform_dependent(gradient, *operands, cpu=pull_back(on_cpu), default=pull_back(general))


by_platform.defvjp(_forward, _backward)
