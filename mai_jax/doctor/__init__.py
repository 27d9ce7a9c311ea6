"""Checks of the data, disk, memory and speed of a run before it starts: `mai doctor`."""
