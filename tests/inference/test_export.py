"""Exported files predict the same pixels as the Inpainter, in a process that does not import the package."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mai_jax import config as config_lib
from mai_jax.batch import Batch
from mai_jax.cli.main import main
from mai_jax.config import Config, Discriminator, Generator
from mai_jax.inference import Inpainter
from mai_jax.inference.export import DESCRIPTIONS
from mai_jax.models import MODELS
from mai_jax.training import checkpointing

ROOT = Path(__file__).parents[2]
SIZE = 32

# A program that uses the exported file. Arguments: the exported file, the inputs, the output file.
CLIENT = """
import sys
import numpy as np
{load}
inputs, outputs = np.load(sys.argv[2]), {{}}
for i in range(len(inputs) // 2):
    outputs[f"{{i}}"] = complete(inputs[f"image{{i}}"], inputs[f"hole{{i}}"])
np.savez(sys.argv[3], **outputs)
assert not {{"mai_jax", "flax", "jax2onnx"}} & set(sys.modules)
"""
STABLEHLO = """
import jax.export
exported = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
assert exported.platforms == ("cpu", "cuda", "tpu")
complete = exported.call
"""
ONNX = """
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
complete = lambda image, hole: session.run(["completed"], {"image": image, "hole": hole})[0]
"""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Return a folder with two checkpoints of random arrays: no bias is zero, no statistic has its initial value."""
    folder = tmp_path_factory.mktemp("run")
    # The graph of this attention cannot be exported; the export must replace it.
    config = Config(image_size=SIZE, generator=Generator(width=8, se_reduction=4, attention="conv"),
                    discriminator=Discriminator(width=4))
    batch = Batch(jnp.zeros((1, SIZE, SIZE, 3)), jnp.ones((1, SIZE, SIZE, 1)))
    variables = jax.eval_shape(MODELS["mai"](config).init, jax.random.key(0), batch)

    def random_array(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        normal = rng.standard_normal(leaf.shape, np.float32)
        return 0.5 + 0.1 * normal if normal.ndim < 2 else normal * np.float32(normal[..., 0].size ** -0.5)

    with checkpointing.CheckpointWriter(folder, keep=2) as writer:
        for step in (1, 2):
            rng = np.random.default_rng(step)
            items = {"params": jax.tree.map(random_array, variables)}
            writer.save(step, items, {"config": config_lib.to_dict(config)})
    return folder


def photographs(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(shape)
    return rng.integers(0, 256, (*shape, 3), np.uint8), rng.random(shape) < 0.4


def as_inputs(images: np.ndarray, holes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the arguments of an exported file: NaN in the hole, and a mask with intermediate values."""
    rng = np.random.default_rng(0)
    soft = np.where(holes, rng.uniform(0.5, 1, holes.shape), rng.uniform(0, 0.499, holes.shape)).astype(np.float32)
    return np.where(holes[..., None], np.float32(np.nan), images.astype(np.float32) / 255), soft[..., None]


def assert_same_prediction(
    completed: np.ndarray, inpainter: Inpainter, images: np.ndarray, holes: np.ndarray, tolerance: float
) -> None:
    assert (completed.dtype, completed.shape) == (np.float32, images.shape)
    given = images.astype(np.float32) / 255
    np.testing.assert_array_equal(completed[~holes], given[~holes])
    raw = np.asarray(inpainter.predict(images, holes))[holes]
    assert np.mean((raw > 0) & (raw < 1)) > 0.5 and np.any((raw < 0) | (raw > 1))
    np.testing.assert_allclose(completed[holes], np.clip(raw, 0, 1), rtol=0, atol=tolerance)


def export(*arguments: str) -> None:
    script = "import sys; from mai_jax.cli.main import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", script, "export", *arguments], cwd=ROOT, capture_output=True,
                          text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1, done.stdout


def run_in_another_process(file: Path, load: str, shapes: list[tuple[int, int, int]]) -> list[np.ndarray]:
    folder = file.parent
    inputs = [as_inputs(*photographs(shape)) for shape in shapes]
    np.savez(folder / "inputs.npz", **{f"{name}{i}": array for i, pair in enumerate(inputs)
                                       for name, array in zip(("image", "hole"), pair, strict=True)})
    command = [sys.executable, "-c", CLIENT.format(load=load), file.name, "inputs.npz", "outputs.npz"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "outputs.npz") as outputs:
        return [outputs[f"{i}"] for i in range(len(shapes))]


@pytest.mark.parametrize(("flags", "step", "shapes"), [
    ([], 2, [(1, SIZE, SIZE), (3, SIZE, SIZE), (2, 2 * SIZE, 3 * SIZE)]),
    (["--step=1", "--size=40"], 1, [(2, 40, 40)]),  # not a multiple of the image size
])
def test_stablehlo_takes_any_batch_and_multiples_of_the_size_or_one_size(workdir, tmp_path, flags, step, shapes):
    file = tmp_path / "model.stablehlo"
    export(f"--checkpoint={workdir}", f"--output={file}", *flags)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    inpainter = Inpainter.from_checkpoint(workdir, step)
    for shape, completed in zip(shapes, run_in_another_process(file, STABLEHLO, shapes), strict=True):
        assert_same_prediction(completed, inpainter, *photographs(shape), 1e-6)


# Not imported here: jax2onnx replaces functions of JAX and Flax in the whole process.
@pytest.mark.skipif(importlib.util.find_spec("jax2onnx") is None, reason="jax2onnx is not installed")
def test_onnx_takes_any_batch_and_multiples_of_the_size(workdir, tmp_path):
    onnx = pytest.importorskip("onnx")
    file = tmp_path / "model.onnx"
    export(f"--checkpoint={workdir}", f"--output={file}")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    shapes = [(1, SIZE, SIZE), (3, 2 * SIZE, 3 * SIZE)]
    inpainter = Inpainter.from_checkpoint(workdir)
    for shape, completed in zip(shapes, run_in_another_process(file, ONNX, shapes), strict=True):
        assert_same_prediction(completed, inpainter, *photographs(shape), 1e-5)

    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""} and not model.functions  # standard operators only
    values = [*model.graph.input, *model.graph.output]
    assert {value.name: value.doc_string for value in values} == DESCRIPTIONS
    assert model.doc_string == "mai, step 2"


@pytest.mark.parametrize(("arguments", "message"), [
    ("", "export"),
    ("export --output=DIR/a.onnx", "required: --model"),
    ("export --checkpoint=RUN --output=DIR/a.pb", "a.pb: its name must end in .stablehlo, .onnx or .safetensors"),
    ("export --checkpoint=RUN --output=DIR/no/a.onnx", "there is no folder"),
    ("export --checkpoint=RUN --output=DIR/a.stablehlo --size=0", "--size=0"),
    ("export --checkpoint=RUN --output=DIR/a.stablehlo --step=7", "has no checkpoint of step 7; it has 1, 2"),
    ("export --checkpoint=DIR --output=DIR/a.stablehlo", "holds no checkpoint"),
    ("export --checkpoint=RUN --output=DIR/a.onnx", "pip install 'mai_jax[onnx]'"),
])  # fmt: skip
def test_an_invalid_argument_is_one_line(workdir, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)  # as if it were not installed
    assert main(arguments.replace("DIR", str(tmp_path)).replace("RUN", str(workdir)).split()) == 1
    out, error = capsys.readouterr()
    assert error.startswith("error: ") and len(error.splitlines()) == 1 and message in error and not out
    assert not list(tmp_path.iterdir())
