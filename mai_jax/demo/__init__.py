"""The web page for filling holes in photographs, and its HTTP interface. Needs the extra `demo`."""
