"""Conversion of the weights of the baselines' public PyTorch implementations to checkpoint folders."""
