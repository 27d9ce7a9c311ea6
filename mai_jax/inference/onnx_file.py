"""Conversion of a function (image, hole) -> completed to ONNX with jax2onnx, an optional dependency.

Batch size, height and width may be variable. While jax2onnx traces, it replaces functions of JAX and Flax, some by
functions that return other types (float64). Therefore JAX traces the function first, and the converter receives only
primitives.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, Literal
from jaxtyping import Array, Float

Complete = Callable[[Float[Array, "b h w 3"], Float[Array, "b h w 1"]], Float[Array, "b h w 3"]]

OPSET = 18  # of 2022: older runtimes support it as well


def convert(
    complete: Complete, arguments: list[jax.ShapeDtypeStruct], name: str, descriptions: dict[str, str]
) -> bytes:
    """Return the content of an ONNX file with `complete` at the shapes of `arguments`, in standard operators only.

    `descriptions` maps the name of each input, then of the output, to a description; the file contains both. `name` is
    the documentation string of the model.
    """
    import jax2onnx

    for library in ("jax2onnx", "onnx_ir"):
        logging.getLogger(library).setLevel(logging.ERROR)  # they log hundreds of lines that need no action
    traced = jax.make_jaxpr(complete)(*arguments)

    def as_traced(*inputs: Array) -> Array:
        return _evaluate(traced.jaxpr, traced.consts, inputs)[0]

    names = list(descriptions)
    model = jax2onnx.to_onnx(as_traced, arguments, model_name="mai_jax", opset=OPSET, input_names=names[:-1],
                             output_names=names[-1:])
    model.doc_string = name
    for value in (*model.graph.input, *model.graph.output):
        value.doc_string = descriptions[value.name]
    return model.SerializeToString()


def _evaluate(jaxpr: Jaxpr, constants: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """Return the results of `jaxpr`, with padding as concatenation: the converter cannot pad a variable batch."""
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *inputs), strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        if equation.primitive.name == "platform_index":  # select the branch for all platforms
            results = [equation.params["platforms"].index(None)]
        elif equation.params.get("branches_platforms"):
            chosen, *operands = operands
            branch = equation.params["branches"][chosen]
            results = _evaluate(branch.jaxpr, branch.consts, operands)
        elif equation.primitive.name in ("jit", "custom_jvp_call", "custom_vjp_call"):
            called = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
            results = _evaluate(called.jaxpr, called.consts, operands)
        elif equation.primitive.name == "pad":
            x, value = operands
            results = [_pad(x, value, equation.params["padding_config"])]
        else:
            results = equation.primitive.bind(*operands, **equation.params)
            results = results if equation.primitive.multiple_results else [results]
        values.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _pad(x: Array, value: Array, widths: Sequence[tuple[int, int, int]]) -> Array:
    """Return `jax.lax.pad(x, value, widths)`.

    Raises NotImplementedError for padding between elements and for negative padding.
    """
    for axis, (before, after, between) in enumerate(widths):
        if between or min(before, after) < 0:
            raise NotImplementedError(f"padding by {widths}")
        borders = [jnp.broadcast_to(value, (*x.shape[:axis], n, *x.shape[axis + 1 :])) for n in (before, after)]
        if before or after:
            x = jax.lax.concatenate([part for part in (borders[0], x, borders[1]) if part.shape[axis] != 0], axis)
    return x
