"""The weights that `mai export` writes for PyTorch: the loader beside them predicts what the Inpainter predicts."""

import ast
import importlib.util
import re
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from mai_jax.cli.main import main
from mai_jax.config import Config, Discriminator, Generator
from mai_jax.convert import checkpoint_folder
from mai_jax.inference import Inpainter, torch_export
from mai_jax.inference.model_loading import LoadedModel
from mai_jax.models import MODELS
from mai_jax.training.train_state import variable_shapes

ROOT = Path(__file__).parents[2]
torch = pytest.importorskip("torch", reason="PyTorch runs the exported weights: install the extra `dev`")
torch_mai = pytest.importorskip("benchmarks.torch_mai")

NETWORKS = {
    "published": Config(generator=Generator(width=4, se_reduction=4)),
    "residual": Config(generator=Generator(width=4, merge="residual", attention_stages=(1,), attention_window=5)),
    "pconv": Config(method="pconv", generator=Generator(width=4, leaky_slope=0.1)),
}


def run_folder(folder: Path, config: Config) -> Path:
    """Write a checkpoint of random arrays: no bias is zero, no statistic has its initial value."""
    config.image_size, config.discriminator = 32, Discriminator(width=4)
    rng = np.random.default_rng(0)

    def random_array(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        normal = rng.standard_normal(leaf.shape, np.float32)
        return 0.5 + 0.1 * normal if normal.ndim < 2 else normal * np.float32(normal[..., 0].size ** -0.5)

    shapes = variable_shapes(MODELS[config.method](config), config)
    checkpoint_folder.write(folder, config, jax.tree.map(random_array, shapes))
    return folder


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request, tmp_path_factory):
    """Return the folder of a run, the file of its weights, and the loader that was written beside it, imported."""
    folder = tmp_path_factory.mktemp(request.param)
    run, weights = run_folder(folder / "run", NETWORKS[request.param]), folder / "mai.safetensors"
    assert main(["export", f"--checkpoint={run}", f"--output={weights}"]) == 0
    spec = importlib.util.spec_from_file_location("exported_loader", folder / "mai_torch.py")
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    return run, weights, loader


def channels_first(x: np.ndarray) -> "torch.Tensor":
    return torch.tensor(np.moveaxis(x, -1, 1).copy())


def test_the_loader_predicts_the_same_pixels(exported):
    run, weights, loader = exported
    rng = np.random.default_rng(1)
    images, holes = rng.integers(0, 256, (2, 40, 72, 3), np.uint8), rng.random((2, 40, 72)) < 0.3
    holes[:, :24, :40] = True  # some windows and maps have no given pixel; the size is no multiple of 32
    inputs = np.where(holes[..., None], np.float32(np.nan), images.astype(np.float32) / 255)
    completed = loader.complete(loader.load(weights), channels_first(inputs), channels_first(holes[..., None] * 1.0))
    completed = np.moveaxis(completed.numpy(), 1, -1)
    raw = np.asarray(Inpainter.from_checkpoint(run).predict(images, holes))[holes]
    assert np.mean((raw > 0) & (raw < 1)) > 0.2
    np.testing.assert_allclose(completed[holes], np.clip(raw, 0, 1), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(completed[~holes], inputs[~holes])


def test_the_code_of_the_page_runs(exported, monkeypatch):
    _, weights, _ = exported
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    monkeypatch.chdir(weights.parent)
    monkeypatch.syspath_prepend(weights.parent)
    scope: dict = {}
    exec(compile(code, "docs/export.md", "exec"), scope)
    del sys.modules["mai_torch"]  # the next folder has its own
    filled = (scope["completed"] != scope["image"]).any(1, keepdim=True)
    torch.testing.assert_close(filled.float(), scope["hole"])


@pytest.mark.parametrize("merge", ["published", "residual"])
def test_the_names_are_those_of_the_networks_in_the_benchmarks(merge):
    config = Config(image_size=32, generator=Generator(width=4, merge=merge), discriminator=Discriminator(width=4))
    shapes = variable_shapes(MODELS["mai"](config), config)
    trees = [jax.tree.map(lambda leaf: np.zeros(leaf.shape), tree["generator"]) for tree in shapes.values()]
    tensors = {name: torch.tensor(array) for name, array in torch_export.state_dict(trees).items()}
    torch_mai.Generator(config.generator, depth=5).load_state_dict(tensors)  # raises for a name or a shape


def test_the_loader_needs_pytorch_alone():
    imports = {(getattr(node, "module", None) or node.names[0].name).split(".")[0]
               for node in ast.walk(ast.parse(torch_export.LOADER.read_text()))
               if isinstance(node, ast.Import | ast.ImportFrom)}
    assert imports == {"json", "pathlib", "typing", "torch"}


@pytest.mark.parametrize(("config", "flag", "message"), [
    (Config(method="pic"), "", "weights are exported of mai and pconv, not of pic"),
    (Config(generator=Generator(norm="region")), "", "mai_torch.py has no config.generator.norm='region'"),
    (Config(generator=Generator(smooth_fill=True)), "", "mai_torch.py has no config.generator.smooth_fill=True"),
    (Config(), "", "mai_torch.py: exists and differs"),
    (Config(), "--size=64", "--size=64: the weights have no image size"),
])
def test_what_cannot_be_exported_is_one_line(tmp_path, monkeypatch, capsys, config, flag, message):
    model = MODELS[config.method](config)
    monkeypatch.setattr(torch_export, "load_model", lambda folder, step: LoadedModel(model, config, {}, 0))
    if config.method == "mai" and config.generator == Generator():
        (tmp_path / "mai_torch.py").write_text("mine")
    before = sorted(tmp_path.iterdir())
    flags = ["export", "--checkpoint=run", f"--output={tmp_path / 'a.safetensors'}", *filter(None, [flag])]
    assert main(flags) == 1
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
