"""A trained model applied to photographs of any size."""

from mai_jax.inference.inpainter import Inpainter

__all__ = ["Inpainter"]
