"""How `pallas_attention` stores the scores of a row of queries in the memory of a TPU core, and which maps fit.

Scores are stored in chunks [queries of a row, lanes]: whole rows of keys, as many as fit the lanes.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType
from jaxtyping import Array, Float

from mai_jax.nn.blockwise_attention import LARGEST_SHIFT

LANES = 128  # of a vector register
SUBLANES = 16  # rows of a tile of bfloat16; one of float32 has 8
VMEM = {"TPU v5 lite": 128, "TPU v5": 64, "TPU v5p": 64, "TPU v6 lite": 128}  # MiB per core, by `device_kind`
USABLE = 7 / 8  # of that; the rest is for the rows of queries and temporaries


@dataclasses.dataclass(frozen=True)
class Layout:
    """The chunks of a map of h x w positions and `channels` channels."""

    h: int
    w: int
    channels: int
    halo: int  # k of Eq. 8

    @staticmethod
    def of(shape: tuple[int, ...], window: int) -> "Layout":
        """Return the layout of a map of shape [h, w, c]."""
        h, w, channels = shape
        return Layout(h, w, channels, window // 2)

    @property
    def together(self) -> int:
        """Rows of keys in a chunk."""
        return LANES // self.w if LANES % self.w == 0 else 1

    @property
    def chunks(self) -> int:
        return -(-self.h // self.together)

    @property
    def margin(self) -> int:
        """Empty chunks before and after those of a row: Eq. 8 reads up to k rows of keys beyond the map."""
        return -(-self.halo // self.together)

    @property
    def keys(self) -> int:
        """Keys of a chunk, empty ones included."""
        return _round_up(self.together * self.w, LANES)

    @property
    def queries(self) -> int:
        """Queries of a row, empty ones included."""
        return _round_up(self.w, SUBLANES)

    @property
    def ring(self) -> tuple[int, int, int, int]:
        return 2 * self.halo + 1, self.chunks + 2 * self.margin, self.queries, self.keys

    def of_queries(self, x: Float[Array, "h w c"]) -> Float[Array, "h queries c"]:
        return jnp.pad(x, ((0, 0), (0, self.queries - self.w), (0, 0)))

    def of_keys(self, x: Float[Array, "h w c"]) -> Float[Array, "chunks keys c"]:
        rows = jnp.pad(x, ((0, self.chunks * self.together - self.h), (0, 0), (0, 0)))
        chunks = rows.reshape(self.chunks, self.together * self.w, x.shape[-1])
        return jnp.pad(chunks, ((0, 0), (0, self.keys - chunks.shape[1]), (0, 0)))

    def from_keys(self, x: Float[Array, "chunks c keys"]) -> Float[Array, "h w c"]:
        """Return the map of chunks whose positions are last."""
        positions = x[..., : self.together * self.w].swapaxes(1, 2)
        return positions.reshape(-1, self.w, x.shape[1])[: self.h]


def usable_memory(shape: tuple[int, ...], dtype: Any, scale: float, window: int) -> int:
    """Return the bytes of VMEM that the kernels may use for maps of shape [b, h, w, c], 0 if they cannot be used.

    They can where the function is traced for a known mesh (`jax.sharding.use_abstract_mesh`, as the training step is)
    of TPUs over which the batch is divided evenly, and where the larger one, the backward pass, fits.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.abstract_device is None or any(kind != AxisType.Auto for kind in mesh.axis_types):
        return 0
    memory = int(VMEM.get(mesh.abstract_device.device_kind, 0) * 2**20 * USABLE)
    wide = jnp.dtype(dtype).itemsize > jnp.dtype(jnp.float32).itemsize
    if wide or scale > LARGEST_SHIFT or shape[0] % mesh.size:
        return 0
    return memory if _needed_memory(Layout.of(shape[1:], window), dtype) <= memory else 0


def _needed_memory(layout: Layout, dtype: Any) -> int:
    """Return the bytes of both rings and a row of scores, of the keys, the values, and their gradients."""
    scores = 2 * math.prod(layout.ring) + math.prod(layout.ring[1:])
    maps = layout.chunks * layout.keys * _round_up(layout.channels, LANES)
    return 4 * scores + maps * (8 + 2 * jnp.dtype(dtype).itemsize)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
