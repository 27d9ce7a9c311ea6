"""Several trainings: methods on one budget with the paper's Tables 4 and 5, and sweeps over settings."""
