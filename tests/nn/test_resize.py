"""PIC's resize against PyTorch's interpolation with align_corners."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mai_jax.models.pic_networks import resize


@pytest.mark.parametrize("size", [(4, 5), (32, 40), (1, 1), (50, 3)])
def test_equals_pytorch_with_aligned_corners(size):
    images = np.random.default_rng(0).random((2, 32, 40, 3)).astype(np.float32)
    expected = F.interpolate(torch.from_numpy(images).permute(0, 3, 1, 2), size, mode="bilinear", align_corners=True)
    np.testing.assert_allclose(resize(jnp.asarray(images), size), expected.permute(0, 2, 3, 1).numpy(), atol=1e-5)
