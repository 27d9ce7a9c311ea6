"""The training of any method: state, step, loop."""
