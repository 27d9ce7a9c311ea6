"""mai_jax: the Multistage Attention Network for image inpainting, and its rivals, in JAX.

The tree follows the data: read (`data`), hide (`data.hole_generator`, `data.hole_files`), paint (`models`, built from
`nn`), judge (`losses`), step (`training`), measure (`evaluation`), show (`visualize`). `types` holds the words.
"""

__version__ = "0.1.0"
