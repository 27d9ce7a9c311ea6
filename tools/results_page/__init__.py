"""Sections of docs/results.md, and reading of the results of a comparison."""
