"""Write docs/holes.png: ten random holes for each of seven hole ratios. `python -m tools.holes_picture`"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from mai_jax.data.strokes import draw

RATIOS, COLUMNS, SIZE, GAP = (0.02, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55), 10, 96, 2


def main() -> None:
    """Run the command."""
    rngs = jax.random.split(jax.random.key(0), (len(RATIOS), COLUMNS))
    draw_row = jax.vmap(draw, (0, None, None))
    valid = jax.jit(jax.vmap(draw_row, (0, None, 0)), static_argnums=1)(rngs, (SIZE, SIZE), jnp.array(RATIOS))
    tiles = np.pad(1 - np.asarray(valid)[..., 0], ((0, 0), (0, 0), (GAP, 0), (GAP, 0)), constant_values=0.5)
    sheet = tiles.transpose(0, 2, 1, 3).reshape(len(RATIOS) * (SIZE + GAP), -1)
    path = Path(__file__).parents[1] / "docs" / "holes.png"
    Image.fromarray((sheet * 255).astype(np.uint8)).save(path, optimize=True)


if __name__ == "__main__":
    main()
