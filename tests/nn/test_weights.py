"""Fetching: the pinned file at the pinned revision, or an error of one line with the remedy."""

import hashlib

import huggingface_hub
import pytest

from mai_jax.errors import InputError
from mai_jax.nn import weights

CONTENT = b"some weights"
PINNED = weights.Pinned("owner/net", "net.safetensors", "0123abc", hashlib.sha256(CONTENT).hexdigest())


def fetch_with(monkeypatch, download):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return weights.fetch(PINNED, "weights of a net", "--net")


def test_fetches_the_pinned_revision(monkeypatch, tmp_path):
    def download(repo_id, filename, *, revision):
        assert (repo_id, filename, revision) == PINNED[:3]
        (tmp_path / filename).write_bytes(CONTENT)
        return str(tmp_path / filename)

    assert fetch_with(monkeypatch, download) == tmp_path / "net.safetensors"


def download_other_content(tmp_path):
    (tmp_path / "net.safetensors").write_bytes(CONTENT + b"!")
    return str(tmp_path / "net.safetensors")


def fail_without_network(tmp_path):
    raise ConnectionError("the hub does not answer\nand many more lines")


@pytest.mark.parametrize(("download", "named"), [
    (download_other_content, ["net.safetensors", PINNED.sha256, "delete it", "--net=FILE"]),
    (fail_without_network, ["owner/net/net.safetensors", "0123abc",
                            "the hub does not answer", "weights of a net", "--net=FILE"]),
])
def test_the_error_names_the_remedy(monkeypatch, tmp_path, download, named):
    with pytest.raises(InputError) as error:
        fetch_with(monkeypatch, lambda *args, **kwargs: download(tmp_path))
    message = str(error.value)
    assert "\n" not in message
    assert [part for part in named if part not in message] == []
