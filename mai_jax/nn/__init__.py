"""The layers of the networks, one file each. Source: sections 3.2-3.5 of the paper, and the baselines' papers."""
