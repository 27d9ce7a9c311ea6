"""The earlier name of `mai_jax.metrics`, which other programs may use."""

from mai_jax.metrics import l1, psnr, ssim

__all__ = ["l1", "psnr", "ssim"]
