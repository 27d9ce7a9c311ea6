"""The web page for filling holes in photographs. Needs the extra `demo`."""
