"""A trained method as one file that runs without this package: StableHLO (`jax.export`) or ONNX (`jax2onnx`).

Both hold the weights and one function, (image, hole) -> completed; see `MEANING`.

StableHLO runs on CPU, CUDA and TPU: `jax.export.deserialize(content).call(image, hole)`. It takes any batch, and any
height and width that are multiples of `config.image_size`. Attention holds a score for each pair of positions at 1/4 of
the size: 64 MiB per image at 256 px, sixteen times that at 512. ONNX takes any batch, at one size (see `onnx_file`).
"""

import importlib.util
import logging
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax.files import write_whole
from mai_jax.inference import onnx_file, trained
from mai_jax.inference.onnx_file import Complete
from mai_jax.inference.trained import Trained
from mai_jax.types import Batch, InputError, complete

log = logging.getLogger(__name__)

PLATFORMS = ("cpu", "cuda", "tpu")
FORMATS = (".stablehlo", ".onnx")
ONNX_METHODS = ("mai", "pconv")
MEANING = {
    "image": "float32 [b, h, w, 3], RGB in [0, 1]; what it holds in the hole does not matter",
    "hole": "float32 [b, h, w, 1], 1 = to be painted, 0 = given; in between, 0.5 and above is hole",
    "completed": "float32 [b, h, w, 3], the given pixels bit for bit; in the hole what was painted, clipped to [0, 1]",
}


def export(folder: Path, output: Path, step: int | None = None, size: int | None = None) -> None:
    """Writes `output`, a .stablehlo or .onnx file, from the newest checkpoint (or that of `step`) of a training folder.

    `size` fixes height and width; by default they stay open in StableHLO and are `config.image_size` in ONNX.
    Raises InputError for what cannot be read or written, and when jax2onnx is missing.
    """
    if output.suffix not in FORMATS:
        raise InputError(f"--output={output}: its name must end in {' or '.join(FORMATS)}")
    if not output.parent.is_dir():
        raise InputError(f"--output={output}: there is no folder {output.parent}; make it first")
    if size is not None and size < 1:
        raise InputError(f"--size={size}: must be at least 1")
    if output.suffix == ".onnx" and importlib.util.find_spec("jax2onnx") is None:
        raise InputError(f"--output={output}: ONNX needs jax2onnx; pip install 'mai_jax[onnx]'")
    # The other attentions need to know the batch or the size, and ONNX has no bfloat16 convolution.
    method = trained.read(folder, step, portable=True)
    name, completed = f"{method.config.method}, step {method.step}", completing(method)
    if output.suffix == ".onnx":
        if method.config.method not in ONNX_METHODS:
            raise InputError(f"--output={output}: jax2onnx gets the transposed convolutions of "
                             f"{method.config.method} wrong; export it as .stablehlo")
        size = size or method.config.image_size
    multiple = method.config.image_size
    shape = f"b, {multiple}*h, {multiple}*w" if size is None else f"b, {size}, {size}"
    dimensions = jax.export.symbolic_shape(shape)
    arguments = [jax.ShapeDtypeStruct((*dimensions, channels), jnp.float32) for channels in (3, 1)]
    if output.suffix == ".onnx":
        content = onnx_file.convert(completed, arguments, name, MEANING)
    else:
        content = bytes(jax.export.export(jax.jit(completed), platforms=PLATFORMS)(*arguments).serialize())
    write_whole(output, content)
    log.info(f"{output}: {name}, for photographs [{shape}, 3]; {len(content) / 1e6:.1f} MB")


def completing(method: Trained) -> Complete:
    """The function that is exported, of (image, hole) as `MEANING` says."""

    def completed(image: Float[Array, "b h w 3"], hole: Float[Array, "b h w 1"]) -> Float[Array, "b h w 3"]:
        batch = Batch(image, (hole < 0.5).astype(image.dtype))
        raw = method.model.paint(method.params, method.stats, batch, jax.random.key(0)).raw
        return complete(jnp.clip(raw, 0, 1), batch)

    return completed
