"""Training of several methods with the same budget, and the paper's Tables 4 and 5 and a figure of the results."""
