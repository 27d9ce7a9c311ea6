"""Train methods on one budget and write Tables 4 and 5; `python tables.py --help`. The same as `mai compare`.

python tables.py --config=configs/quickstart.py --workdir=runs/tables
"""

import sys

from mai_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
