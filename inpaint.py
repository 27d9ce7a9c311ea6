"""Fill the holes of photographs; `python inpaint.py --help` lists the flags. The same as `mai inpaint`.

python inpaint.py --checkpoint=runs/places2 --image=photo.jpg --mask=mask.png --output=filled.jpg
"""

import sys

from mai_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["inpaint", *sys.argv[1:]]))
