"""Models by name: the one in the package, where the published ones come from, and the folder that keeps those.

Nothing here uses the network; `mai models get` does (`convert/public_models.py`).
"""

import os
from pathlib import Path
from typing import NamedTuple

from mai_jax import packaged_models
from mai_jax.errors import InputError
from mai_jax.training import packed_model

VARIABLE = "MAI_JAX_MODELS"  # environment variable: the folder of the models


class PublicModel(NamedTuple):
    """A published file of weights and what becomes of it."""

    name: str
    purpose: str
    licence: str  # identifier of the Hugging Face hub
    url: str
    sha256: str
    size: int  # bytes
    implementation: str  # a key of `convert.implementations.IMPLEMENTATIONS`
    flag: str  # a key of its SOURCES
    image_size: int  # pixels of the windows in which photographs are filled
    origin: str  # for the model card

    @property
    def folder(self) -> Path:
        return models_folder() / self.name

    @property
    def is_here(self) -> bool:
        return packed_model.is_packed(self.folder)


PUBLIC = {model.name: model for model in (
    PublicModel(
        name="lama",
        purpose="photographs: objects to remove, also large ones, and repeated structures",
        licence="apache-2.0",
        url="https://github.com/Sanster/models/releases/download/add_big_lama/big-lama.pt",
        sha256="344c77bbcb158f17dd143070d1e789f38a66c04202311ae3a258ef66667a9ea9",
        size=205_669_692,
        implementation="lama",
        flag="generator",
        # Trained at 256 px; its authors show that it generalizes to larger images. A larger window is downscaled less.
        image_size=512,
        origin="The big-lama weights of R. Suvorov et al., *Resolution-robust Large Mask Inpainting with Fourier "
               "Convolutions*, WACV 2022 (<https://github.com/advimman/lama>, Apache-2.0), trained on Places.",
    ),
)}  # fmt: skip


NAMES = (packaged_models.NAME, *PUBLIC)


def models_folder() -> Path:
    """Return the folder of the models: $MAI_JAX_MODELS, by default $XDG_CACHE_HOME/mai_jax/models."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get(VARIABLE) or Path(home, "mai_jax", "models")).expanduser()


def find(model: str | Path) -> Path:
    """Return the folder of a model, which is named or is a folder.

    Raises InputError for a name whose model is not there yet, and for anything that is neither.
    """
    if str(model) == packaged_models.NAME:
        return packaged_models.FOLDER
    if str(model) in PUBLIC:
        public = PUBLIC[str(model)]
        if not public.is_here:
            raise InputError(f"{public.name}: is not in {public.folder} yet; `mai models get {public.name}` fetches it "
                             f"once ({public.size / 1e6:.0f} MB), or `mai models add {public.name} FILE` takes "
                             f"{public.url}, fetched by hand")
        return public.folder
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise InputError(f"{model}: no such folder, and no name of a model; give the folder that training or `mai "
                         f"models pack` wrote, or one of {', '.join(NAMES)}")
    return folder
