"""The methods: one file each, all behind the contract of `base.Model`."""

from mai_jax.models.edge_connect import EdgeConnect
from mai_jax.models.mai import MAI
from mai_jax.models.pconv_public import PublicPConv
from mai_jax.models.pconv_unet import PConv
from mai_jax.models.pic import PIC

MODELS = {"mai": MAI, "pconv": PConv, "pconv_public": PublicPConv, "edge_connect": EdgeConnect, "pic": PIC}
# As the paper writes them, in the order of its tables.
TITLES = {"pic": "PIC", "pconv": "PConv", "edge_connect": "EdgeConnect", "mai": "MAI", "pconv_public": "PConv (public)"}
