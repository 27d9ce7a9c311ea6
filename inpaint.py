"""Fills holes in photographs; see mai_jax/repair/command.py.

python inpaint.py --checkpoint=runs/places2 --image=photo.jpg --mask=mask.png --output=filled.jpg
"""

from mai_jax.repair import command

if __name__ == "__main__":
    command.run()
