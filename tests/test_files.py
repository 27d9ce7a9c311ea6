"""Writing of files by several processes at once."""

import os
import threading

import pytest

from mai_jax import files


def test_writers_of_one_file_do_not_disturb_each_other(tmp_path):
    """Writers replaced one common temporary file, so that one of two failed."""
    path, errors = tmp_path / ("x" * 250), []
    contents = [bytes([i]) * 300_000 for i in range(4)]

    def write(content):
        try:
            for _ in range(30):
                files.write_atomically(path, content)
                assert path.read_bytes() in contents
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_write_that_fails_leaves_nothing_and_names_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space") as error:
        files.write_atomically(tmp_path / "a", b"content")
    assert error.value.filename == str(tmp_path / "a") and list(tmp_path.iterdir()) == []
