"""Training of any method: train state, train step, trainer."""
