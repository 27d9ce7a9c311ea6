"""Measure a checkpoint, or what any program predicted; `python evaluate.py --help`. The same as `mai evaluate`.

python evaluate.py --workdir=runs/places2 --report
python evaluate.py --pred=DIR --truth=DIR --masks=DIR
"""

import sys

from mai_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
