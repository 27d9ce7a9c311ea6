"""Looks at a run's data, disk, memory and speed before its first hour: `python -m mai_jax.data.doctor`."""
