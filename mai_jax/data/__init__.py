"""Photographs and holes: sources, decoding, batches, random strokes and mask files."""
