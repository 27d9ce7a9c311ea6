"""A function of a photograph and its hole as an ONNX file, by jax2onnx (an optional dependency).

The batch may be open, height and width may not: jax2onnx 0.13 does not convert an open size that is a product (8*h). It
also replaces functions of JAX and Flax while it traces, and some of its own return other types (float64) than the
originals. So JAX alone traces the function, and the converter gets nothing but primitives.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, Literal
from jaxtyping import Array, Float

Complete = Callable[[Float[Array, "b h w 3"], Float[Array, "b h w 1"]], Float[Array, "b h w 3"]]

OPSET = 18  # of 2022: older runtimes read it too


def convert(
    complete: Complete, arguments: list[jax.ShapeDtypeStruct], name: str, meaning: dict[str, str]
) -> bytes:
    """The content of a file that holds `complete` at the shapes of `arguments`, in standard operators only.

    `meaning` holds the name of each input, then of the output, and what it is; both stand in the file.
    """
    import jax2onnx

    for library in ("jax2onnx", "onnx_ir"):
        logging.getLogger(library).setLevel(logging.ERROR)  # hundreds of lines that their user can do nothing about
    traced = jax.make_jaxpr(complete)(*arguments)

    def as_traced(*inputs: Array) -> Array:
        return _evaluate(traced.jaxpr, traced.consts, inputs)[0]

    names = list(meaning)
    model = jax2onnx.to_onnx(as_traced, arguments, model_name="mai_jax", opset=OPSET, input_names=names[:-1],
                             output_names=names[-1:])
    model.doc_string = name
    for value in (*model.graph.input, *model.graph.output):
        value.doc_string = meaning[value.name]
    return model.SerializeToString()


def _evaluate(jaxpr: Jaxpr, constants: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """What `jaxpr` computes, with padding written as concatenation: the converter cannot pad an open batch."""
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *inputs), strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        called = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
        if equation.primitive.name == "platform_index":  # which form of a computation: the one for any platform
            results = [equation.params["platforms"].index(None)]
        elif equation.params.get("branches_platforms"):
            chosen, *operands = operands
            form = equation.params["branches"][chosen]
            results = _evaluate(form.jaxpr, form.consts, operands)
        elif equation.primitive.name in ("jit", "custom_jvp_call", "custom_vjp_call"):
            results = _evaluate(called.jaxpr, called.consts, operands)
        elif equation.primitive.name == "pad":
            results = [_pad(*operands, equation.params["padding_config"])]
        else:
            results = equation.primitive.bind(*operands, **equation.params)
            results = results if equation.primitive.multiple_results else [results]
        values.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _pad(x: Array, value: Array, widths: Sequence[tuple[int, int, int]]) -> Array:
    """As `jax.lax.pad`, with nothing between the elements and nothing cut off."""
    for axis, (before, after, between) in enumerate(widths):
        if between or min(before, after) < 0:
            raise NotImplementedError(f"padding by {widths}")
        borders = [jnp.broadcast_to(value, (*x.shape[:axis], n, *x.shape[axis + 1 :])) for n in (before, after)]
        if before or after:
            x = jax.lax.concatenate([part for part in (borders[0], x, borders[1]) if part.shape[axis] != 0], axis)
    return x
