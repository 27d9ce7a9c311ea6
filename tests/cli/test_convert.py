"""`mai convert`: from the files of the public implementations to a checkpoint folder that predicts."""

import json

import jax
import numpy as np
import pytest

from mai_jax import config as config_lib
from mai_jax.cli.main import main
from mai_jax.inference import Inpainter, model_loading
from mai_jax.training import checkpointing

torch = pytest.importorskip("torch", reason="PyTorch is the oracle: install the extra `dev`")
edge_connect_in_torch, pic_in_torch, pconv_in_torch = (
    pytest.importorskip(f"tests.models.{name}_in_torch") for name in ("edge_connect", "pic", "pconv"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths by implementation and flag, each in the format of its authors; one of EdgeConnect's is missing."""
    folder = tmp_path_factory.mktemp("originals")
    torch.manual_seed(0)
    edge = {name: network.float() for name, network in edge_connect_in_torch.networks(4, seed=0).items()}
    held = {
        "edge_connect": {
            "edge-generator": {"iteration": 7, "generator": edge["edge_generator"].state_dict()},
            "image-generator": {"iteration": 7, "generator": edge["generator"].state_dict()},
            "edge-discriminator": {"discriminator": edge["edge_discriminator"].state_dict()},
        },
        "pic": {
            "encoder": torch.nn.DataParallel(pic_in_torch.Encoder(4)).state_dict(),
            "generator": torch.nn.DataParallel(pic_in_torch.Generator(4)).state_dict(),
            "discriminator": pic_in_torch.Discriminator(4).state_dict(),
            "reconstruction-discriminator": pic_in_torch.Discriminator(4).state_dict(),
        },
        "pconv": {"generator": {"n_iter": 7, "model": pconv_in_torch.random_unet(4, 0).state_dict(), "optimizer": {}}},
    }
    paths = {}
    for original, networks in held.items():
        for flag, saved in networks.items():
            path = folder / f"{original}-{flag}.pth"
            torch.save(saved, path, _use_new_zipfile_serialization=original == "edge_connect")
            paths.setdefault(original, {})[flag] = path
    return paths


def run(original, paths, output, *more):
    files = [f"--{flag}={path}" for flag, path in paths.items()]
    return main(["convert", original, f"--output={output}", *files, *more])


@pytest.mark.parametrize(("original", "size", "fresh"), [
    ("edge_connect", 32, "image-discriminator"),
    ("pic", 32, ""),
    ("pconv", 128, ""),
])  # fmt: skip
def test_a_converted_folder_predicts(files, tmp_path, capsys, original, size, fresh):
    folder = tmp_path / "new" / "converted"
    assert run(original, files[original], folder, f"--image-size={size}") == 0
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and str(folder) in line
    assert line.endswith(f"fresh from seed 0: {fresh}\n") if fresh else "fresh" not in line
    assert [path.name for path in folder.parent.iterdir()] == ["converted"]

    written = model_loading.load_model(folder)
    assert written.step == 0 and written.config.image_size == size
    assert json.loads((folder / "config.json").read_text()) == config_lib.to_dict(written.config)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(written.variables))
    if original == "edge_connect":
        assert written.config.edge_connect.edges == "everywhere"  # as in its authors' test
        given = torch.load(files[original]["edge-discriminator"])["discriminator"]["conv2.0.weight_orig"].numpy()
        params = written.variables["params"]
        kernels = [params[network]["conv2"]["kernel"] for network in ("edge_discriminator", "discriminator")]
        np.testing.assert_array_equal(kernels[0], given.transpose(2, 3, 1, 0))
        assert kernels[1].std() > 0.01
    if original == "pic":
        return  # its prediction takes long to compile, and is no other than after training
    rng = np.random.default_rng(0)
    image, hole = rng.integers(0, 256, (size, size, 3), np.uint8), np.zeros((size, size), bool)
    hole[10:20, 8:24] = True
    filled = Inpainter.from_checkpoint(folder, devices=jax.devices()[:1])(image, hole)
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    assert (filled[hole] != image[hole]).mean() > 0.9


def test_converted_edge_connect_can_keep_the_edges_of_given_pixels(files, tmp_path, capsys):
    assert run("edge_connect", files["edge_connect"], tmp_path / "hole", "--image-size=32", "--edges=hole") == 0
    assert model_loading.load_model(tmp_path / "hole").config.edge_connect.edges == "hole"
    capsys.readouterr()
    assert "--edges" in refused(capsys, run("edge_connect", files["edge_connect"], tmp_path / "no", "--edges=no"))


def refused(capsys, status) -> str:
    captured = capsys.readouterr()
    assert status == 1 and captured.err.startswith("error: ") and captured.err.count("\n") == 1
    return captured.err


def test_errors_name_the_file_and_leave_nothing(files, tmp_path, capsys, monkeypatch):
    paths, folder = files["pic"], tmp_path / "converted"
    swapped = paths | {"encoder": paths["generator"]}
    message = refused(capsys, run("pic", swapped, folder))
    assert f"--encoder={paths['generator']}: tensor block0.conv1.module.bias is missing" in message
    assert "required: --generator" in refused(capsys, run("pic", {"encoder": paths["encoder"]}, folder))
    assert "image_size" in refused(capsys, run("pic", paths, folder, "--image-size=100"))
    assert "image_size" in refused(capsys, run("pconv", files["pconv"], folder, "--image-size=64"))
    assert not folder.exists()

    monkeypatch.setattr(checkpointing, "MARGIN", 2**60)
    assert "no space left" in refused(capsys, run("pconv", files["pconv"], folder))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_left_unchanged(files, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert str(tmp_path) in refused(capsys, run("pic", files["pic"], tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
