"""Draws docs/holes.png: ten drawn holes for each of seven ratios. `python docs/holes.py`"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from mai_jax.data.hole_generator import draw

RATIOS, COLUMNS, SIZE, GAP = (0.02, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55), 10, 96, 2


def main() -> None:
    keys = jax.random.split(jax.random.key(0), (len(RATIOS), COLUMNS))
    draw_row = jax.vmap(draw, (0, None, None))
    known = jax.jit(jax.vmap(draw_row, (0, None, 0)), static_argnums=1)(keys, (SIZE, SIZE), jnp.array(RATIOS))
    tiles = np.pad(1 - np.asarray(known)[..., 0], ((0, 0), (0, 0), (GAP, 0), (GAP, 0)), constant_values=0.5)
    sheet = tiles.transpose(0, 2, 1, 3).reshape(len(RATIOS) * (SIZE + GAP), -1)
    Image.fromarray((sheet * 255).astype(np.uint8)).save(Path(__file__).with_name("holes.png"), optimize=True)


if __name__ == "__main__":
    main()
