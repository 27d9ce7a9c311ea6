"""Serve a web page on which photographs are repaired; `python demo.py --help`. The same as `mai demo`.

python demo.py --checkpoint=runs/places2
"""

import sys

from mai_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
