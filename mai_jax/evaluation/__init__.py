"""Evaluation: datasets, metrics, protocols, classical baselines, statistics, mask benchmarks and reports."""
