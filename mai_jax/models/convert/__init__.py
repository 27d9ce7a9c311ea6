"""Weights of the rivals' public PyTorch implementations as ours: `python -m mai_jax.models.convert`."""
