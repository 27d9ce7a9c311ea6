"""The web page: a photograph in, a hole painted over it, the repaired photograph out. Needs the `demo` extra."""
