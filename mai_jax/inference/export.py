"""Export of a trained model for other programs: StableHLO (`jax.export`), ONNX (`jax2onnx`) or weights for PyTorch.

The first two are one file with the weights and one function, (image, hole) -> completed; DESCRIPTIONS specifies its
arguments. For the third see `torch_export`.

Both take any batch size, and any height and width that are multiples of `config.image_size`, or one size. The attention
is dense, with one score for each pair of positions at 1/4 of the size: 64 MiB per image at 256 px, sixteen times that
at 512. StableHLO runs on CPU, CUDA and TPU: `jax.export.deserialize(content).call(image, hole)`.
"""

import importlib.util
import logging
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
from jaxtyping import Array, Float

from mai_jax.batch import Batch, complete
from mai_jax.errors import InputError
from mai_jax.files import write_atomically
from mai_jax.inference import onnx_file, torch_export
from mai_jax.inference.model_loading import LoadedModel, load_model
from mai_jax.inference.onnx_file import Complete

log = logging.getLogger(__name__)

PLATFORMS = ("cpu", "cuda", "tpu")
FORMATS = (".stablehlo", ".onnx", ".safetensors")
ONNX_METHODS = ("mai", "pconv")
DESCRIPTIONS = {
    "image": "float32 [b, h, w, 3], RGB in [0, 1]; the values in the hole are ignored",
    "hole": "float32 [b, h, w, 1], 1 = hole, 0 = given; in between, 0.5 and above is hole",
    "completed": "float32 [b, h, w, 3], the given pixels bit for bit, the prediction in the hole, clipped to [0, 1]",
}


def export(folder: Path, output: Path, step: int | None = None, size: int | None = None) -> None:
    """Write `output`, with an ending of FORMATS, from the newest checkpoint (or that of `step`) of a training folder.

    `size` fixes height and width; by default they are variable.
    Raises InputError if an argument is invalid, the checkpoint cannot be read, or jax2onnx is missing.
    """
    if output.suffix not in FORMATS:
        raise InputError(f"--output={output}: its name must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    if not output.parent.is_dir():
        raise InputError(f"--output={output}: there is no folder {output.parent}; make it first")
    if size is not None and size < 1:
        raise InputError(f"--size={size}: must be at least 1")
    if output.suffix == ".safetensors":
        if size is not None:
            raise InputError(f"--size={size}: the weights have no image size; leave --size out")
        log.info(f"{output}: {torch_export.write(folder, output, step)}")
        return
    if output.suffix == ".onnx" and importlib.util.find_spec("jax2onnx") is None:
        raise InputError(f"--output={output}: ONNX needs jax2onnx; pip install 'mai_jax[onnx]'")
    # The other attentions need a fixed batch or image size, and ONNX has no bfloat16 convolution.
    loaded = load_model(folder, step, portable=True)
    name, completed = f"{loaded.config.method}, step {loaded.step}", completion_function(loaded)
    if output.suffix == ".onnx" and loaded.config.method not in ONNX_METHODS:
        raise InputError(f"--output={output}: jax2onnx converts the transposed convolutions of {loaded.config.method} "
                         "incorrectly; export it as .stablehlo")
    multiple = loaded.config.image_size
    shape = f"b, {multiple}*h, {multiple}*w" if size is None else f"b, {size}, {size}"
    dimensions = jax.export.symbolic_shape(shape)
    arguments = [jax.ShapeDtypeStruct((*dimensions, channels), jnp.float32) for channels in (3, 1)]
    if output.suffix == ".onnx":
        content = onnx_file.convert(completed, arguments, name, DESCRIPTIONS)
    else:
        content = bytes(jax.export.export(jax.jit(completed), platforms=PLATFORMS)(*arguments).serialize())
    write_atomically(output, content)
    log.info(f"{output}: {name}, for photographs [{shape}, 3]; {len(content) / 1e6:.1f} MB")


def completion_function(loaded: LoadedModel) -> Complete:
    """Return the function (image, hole) -> completed that is exported; see DESCRIPTIONS."""

    def completed(image: Float[Array, "b h w 3"], hole: Float[Array, "b h w 1"]) -> Float[Array, "b h w 3"]:
        batch = Batch(image, (hole < 0.5).astype(image.dtype))
        raw = loaded.model.predict(loaded.variables, batch, jax.random.key(0)).raw
        return complete(jnp.clip(raw, 0, 1), batch)

    return completed
