"""Train a method; `python train.py --help` lists the flags. The same as `mai train`.

python train.py --config=configs/places2.py --workdir=runs/places2
"""

import sys

from mai_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
