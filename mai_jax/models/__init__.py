"""The methods, one file per paper, behind the interface of `base.Model`."""

from mai_jax.models.base import Model
from mai_jax.models.edge_connect import EdgeConnect
from mai_jax.models.lama import LaMa
from mai_jax.models.mai import MAI
from mai_jax.models.pconv import PConv, PublicPConv
from mai_jax.models.pic import PIC

MODELS: dict[str, type[Model]] = {
    "mai": MAI, "pconv": PConv, "pconv_public": PublicPConv, "edge_connect": EdgeConnect, "pic": PIC,
    "lama": LaMa,
}  # fmt: skip
# Titles in tables and figures: the methods of the paper's tables in their order, then others.
TITLES = {"pic": "PIC", "pconv": "PConv", "edge_connect": "EdgeConnect", "mai": "MAI", "pconv_public": "PConv (public)",
          "lama": "LaMa"}  # fmt: skip
