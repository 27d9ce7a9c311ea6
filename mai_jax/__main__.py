"""`python -m mai_jax` is the command `mai`."""

import sys

from mai_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
