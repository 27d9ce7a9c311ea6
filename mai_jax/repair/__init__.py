"""Photographs on disk, in and out: which file goes with which mask, and what becomes of it."""
