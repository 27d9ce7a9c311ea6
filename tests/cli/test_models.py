"""`mai models`: fetching, adding and packing, and the commands that take a model by its name or folder."""

import hashlib
import urllib.request

import jax
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from mai_jax import config as config_lib
from mai_jax.cli.main import main
from mai_jax.errors import InputError
from mai_jax.inference import Inpainter, model_loading, model_registry
from mai_jax.training import init_from, packed_model
from mai_jax.training.continuation import StartOptions
from tests.untrained import public_lama, untrained_run

HOLE = np.zeros((40, 50), bool)
HOLE[10:20, 10:30] = True


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return public_lama(tmp_path_factory.mktemp("published") / "lama.safetensors")


@pytest.fixture
def models(tmp_path, monkeypatch, published):
    """The folder of the models, and a registry whose lama is a small file on this machine."""
    content = published.read_bytes()
    lama = model_registry.PUBLIC["lama"]._replace(
        url=published.as_uri(), sha256=hashlib.sha256(content).hexdigest(), size=len(content), image_size=32)
    monkeypatch.setitem(model_registry.PUBLIC, "lama", lama)
    monkeypatch.setenv("MAI_JAX_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def packed(run):
    evaluation = run / "evaluations" / "step1"
    evaluation.mkdir(parents=True)
    (evaluation / "table4.md").write_text("| a table |\n")
    assert main(["models", "pack", str(run), f"--output={run.parent / 'packed'}", "--licence=apache-2.0"]) == 0
    return run.parent / "packed"


def refused(capsys, *arguments: str) -> str:
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    return message


def test_a_model_is_fetched_once_and_then_used_without_a_network(models, published, capsys, monkeypatch):
    assert main(["models"]) == 0
    assert "not here: mai models get lama" in capsys.readouterr().out
    assert main(["models", "get", "lama"]) == 0
    assert f"lama is in {models / 'lama'}" in capsys.readouterr().out
    assert [path.name for path in models.iterdir()] == ["lama"]
    assert {path.name for path in (models / "lama").iterdir()} == {"model.safetensors", "config.json", "README.md"}
    card = (models / "lama" / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n") and hashlib.sha256(published.read_bytes()).hexdigest() in card

    monkeypatch.setattr(urllib.request, "urlopen", None)
    assert main(["models", "get", "lama"]) == 0
    assert "already" in capsys.readouterr().out
    assert main(["models"]) == 0
    assert str(models / "lama") in capsys.readouterr().out
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    inpainter = Inpainter.from_pretrained("lama", devices=jax.devices()[:1])
    filled = inpainter(image, HOLE)
    np.testing.assert_array_equal(filled[~HOLE], image[~HOLE])
    assert (filled[HOLE] != image[HOLE]).mean() > 0.9
    assert inpainter.description == "LaMa, windows of 32 x 32 pixels"


def test_a_file_that_was_fetched_by_hand_is_added(models, published, tmp_path, capsys):
    other = public_lama(tmp_path / "other.safetensors", width=8)
    for file, words in ((published, "is the published file"), (other, "is not the published file")):
        assert main(["models", "add", "lama", str(file)]) == 0
        assert words in capsys.readouterr().out
        (models / "lama").rename(models.parent / file.stem)
    assert main(["models", "add", "lama", str(published)]) == 0
    assert "is there already" in refused(capsys, "models", "add", "lama", str(published))


@pytest.mark.parametrize(("field", "value", "words"), [
    ("sha256", "0" * 64, "sha256 is"), ("size", 1000, "longer than 1000 bytes"), ("size", 2**60, "free some space"),
    ("url", "file:///nowhere/lama.pt", "nowhere/lama.pt: cannot be fetched"),
])  # fmt: skip
def test_a_model_that_cannot_be_fetched_leaves_nothing(models, capsys, monkeypatch, field, value, words):
    monkeypatch.setitem(model_registry.PUBLIC, "lama", model_registry.PUBLIC["lama"]._replace(**{field: value}))
    message = refused(capsys, "models", "get", "lama")
    assert words in message
    assert "free" in words or "mai models add lama FILE" in message
    assert list(models.iterdir()) == []


def test_user_errors_name_what_to_do(models, tmp_path, capsys):
    (tmp_path / "text.pt").write_text("<html>")
    assert "there are lama" in refused(capsys, "models", "get", "llama")
    assert "no such file" in refused(capsys, "models", "add", "lama", str(tmp_path / "no.pt"))
    assert f"{tmp_path / 'text.pt'}: damaged" in refused(capsys, "models", "add", "lama", str(tmp_path / "text.pt"))
    assert not (models / "lama").exists()
    with pytest.raises(InputError, match="`mai models get lama` fetches it once"):
        Inpainter.from_pretrained("lama")
    with pytest.raises(InputError, match="nowhere: no such folder, and no name of a model"):
        Inpainter.from_pretrained("nowhere")


def test_a_packed_model_is_the_one_that_was_trained(run, packed):
    trained, found = model_loading.load_model(run), model_loading.load_model(packed)
    assert found.config == packed_model.without_places(trained.config) and found.step == trained.step
    assert set(found.variables["params"]) == {"generator"}
    jax.tree.map(np.testing.assert_array_equal, packed_model.for_prediction(trained.variables), found.variables)
    card = (packed / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\nlibrary_name: mai_jax\n")
    assert "## Quality\n\n| a table |" in card


def test_a_model_packed_in_half_precision_is_read_as_float32(run, packed, tmp_path):
    assert main(["models", "pack", str(run), f"--output={tmp_path / 'half'}", "--half"]) == 0
    whole, half = (model_loading.load_model(folder).variables for folder in (packed, tmp_path / "half"))
    assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {np.dtype(np.float32)}
    rounded = jax.tree.map(lambda leaf: np.asarray(leaf, np.float16), whole["params"])
    jax.tree.map(np.testing.assert_array_equal, rounded, half["params"])
    jax.tree.map(np.testing.assert_array_equal, whole["batch_stats"], half["batch_stats"])
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (packed, tmp_path / "half")]
    assert sizes[1] < 0.7 * sizes[0]
    assert "the tensors, parameters in float16," in (tmp_path / "half" / "README.md").read_text()
    with pytest.raises(InputError, match="params/generator/w has a value of 70000, too large for float16"):
        packed_model.write(tmp_path / "large", config_lib.Config(), {"params": {"generator": {"w": np.full(2, 7e4)}}},
                           1, packed_model.About("a", "b"), half=True)


def test_a_run_starts_from_a_packed_model(run, packed):
    trained = model_loading.load_model(run).variables
    start = StartOptions(init_from=str(packed), init_partial=True)
    variables, entry = init_from.take(start, jax.tree.map(np.zeros_like, trained))
    jax.tree.map(np.testing.assert_array_equal, variables["params"]["generator"], trained["params"]["generator"])
    assert not any(leaf.any() for leaf in jax.tree.leaves(variables["params"]["discriminator"]))
    assert entry["init_from"] == f"{packed}@1"


def test_a_packed_model_names_no_place_of_the_machine_that_trained_it(tmp_path):
    config = config_lib.from_dict({
        "data": {"train": "/home/me/photos", "test": "places2"}, "holes": {"train_masks": "/home/me/masks"},
        "vgg16": {"weights": "/home/me/vgg.safetensors"}})  # fmt: skip
    packed_model.write(tmp_path / "packed", config, {"params": {}, "batch_stats": {}}, 3, packed_model.About("a", "b"))
    assert all(b"/home" not in path.read_bytes() for path in (tmp_path / "packed").iterdir())
    assert packed_model.PackedReader(tmp_path / "packed").config.data.test == "places2"


def test_commands_take_a_model_by_folder_and_classical_methods_by_name(run, packed, tmp_path, capsys):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / "photo.png")
    Image.fromarray(HOLE).save(tmp_path / "mask.png")
    given = (f"--image={tmp_path / 'photo.png'}", f"--mask={tmp_path / 'mask.png'}")
    results = {}
    for flag in (f"--checkpoint={run}", f"--model={packed}", "--model=biharmonic"):
        output = tmp_path / "filled.png"
        assert main(["inpaint", flag, *given, f"--output={output}", "--overwrite"]) == 0
        results[flag] = np.asarray(Image.open(output))
    of_run, of_packed, classical = results.values()
    np.testing.assert_array_equal(of_run, of_packed)
    assert (classical[HOLE] != of_run[HOLE]).any() and (classical[~HOLE] == of_run[~HOLE]).all()
    capsys.readouterr()
    message = refused(capsys, "inpaint", "--model=biharmonic", "--step=3", *given, f"--output={tmp_path / 'b.png'}")
    assert "has no steps" in message


def test_a_folder_or_step_that_does_not_fit_is_refused(run, packed, capsys):
    capsys.readouterr()
    assert "already exists" in refused(capsys, "models", "pack", str(run), f"--output={packed}")
    with pytest.raises(InputError, match="has the checkpoint of step 1 only; leave out --step"):
        model_loading.load_model(packed, 2)


@pytest.mark.parametrize(("file", "change", "words"), [
    ("model.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1]), "the checksum of"),
    ("model.safetensors", lambda data: data[:-9], "damaged, or not"),
    ("model.safetensors", lambda data: safetensors.numpy.save(safetensors.numpy.load(data)), "damaged, or not"),
    ("model.safetensors", lambda data: safetensors.numpy.save({}, {"step": "1", "crc32": "{}"}), "has no tensor"),
    ("config.json", None, "cannot be read (No such file or directory)"),
    ("config.json", lambda data: data[:-9], "cannot be read as JSON"),
    ("config.json", lambda data: b"[" * 100_000, "cannot be read as JSON"),
    ("config.json", lambda data: b'{"seed": -1}', "config.seed"),
])  # fmt: skip
def test_a_damaged_packed_model_is_refused(packed, tmp_path, file, change, words):
    for path in packed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if change:
        (tmp_path / file).write_bytes(change((packed / file).read_bytes()))
    else:
        (tmp_path / file).unlink()
    with pytest.raises(InputError) as error:
        model_loading.load_model(tmp_path)
    assert words in str(error.value) and str(tmp_path / file) in str(error.value)
