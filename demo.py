"""A web page on which people repair their photographs.

python demo.py --checkpoint=runs/places2
"""

from absl import flags

from mai_jax import command
from mai_jax.demo import server
from mai_jax.inference import Inpainter
from mai_jax.types import InputError

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "The folder that training wrote.")
STEP = flags.DEFINE_integer("step", None, "The checkpoint's step; the newest by default.")
HOST = flags.DEFINE_string("host", "127.0.0.1", "The address to listen on; 0.0.0.0 lets other machines in.")
PORT = flags.DEFINE_integer("port", 7860, "The port to listen on.")


def main() -> None:
    if CHECKPOINT.value is None:
        raise InputError("give --checkpoint=DIR, the folder that training wrote")
    server.serve(Inpainter.from_checkpoint(CHECKPOINT.value, STEP.value), HOST.value, PORT.value)


if __name__ == "__main__":
    command.run(main)
