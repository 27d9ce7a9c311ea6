"""Mask benchmarks: sets of holes with a manifest, generated reproducibly or indexed from existing mask files."""
