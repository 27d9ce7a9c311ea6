"""Fetching: the pinned file at the pinned revision, or one line that says how to go on without."""

import hashlib

import huggingface_hub
import pytest

from mai_jax.nn import weights
from mai_jax.types import InputError

CONTENT = b"some weights"
PINNED = weights.Pinned("someone/net", "net.safetensors", "0123abc", hashlib.sha256(CONTENT).hexdigest())


def fetch_when_hub_gives(monkeypatch, answer):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", answer)
    return weights.fetch(PINNED, "weights of a net", "--net")


def test_fetches_the_pinned_revision(monkeypatch, tmp_path):
    def download(repo_id, filename, *, revision):
        assert (repo_id, filename, revision) == PINNED[:3]
        (tmp_path / filename).write_bytes(CONTENT)
        return str(tmp_path / filename)

    assert fetch_when_hub_gives(monkeypatch, download) == tmp_path / "net.safetensors"


def other_content(tmp_path):
    (tmp_path / "net.safetensors").write_bytes(CONTENT + b"!")
    return str(tmp_path / "net.safetensors")


def no_network(tmp_path):
    raise ConnectionError("the hub does not answer\nand a long story")


@pytest.mark.parametrize(("answer", "named"), [
    (other_content, ["net.safetensors", PINNED.sha256, "delete it", "--net=FILE"]),
    (no_network, ["someone/net/net.safetensors", "0123abc",
                  "the hub does not answer", "weights of a net", "--net=FILE"]),
])
def test_says_how_to_go_on(monkeypatch, tmp_path, answer, named):
    with pytest.raises(InputError) as error:
        fetch_when_hub_gives(monkeypatch, lambda *args, **kwargs: answer(tmp_path))
    message = str(error.value)
    assert "\n" not in message
    assert [part for part in named if part not in message] == []
