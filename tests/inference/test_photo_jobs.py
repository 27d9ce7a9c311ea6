"""Matching of photographs, masks and outputs by name."""

import pytest

from mai_jax.errors import InputError
from mai_jax.inference.photo_jobs import ALPHA, find


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.jpg", "photos/deep/b.PNG", "photos/notes.txt", "masks/a.png", "masks/deep/b.png", "one.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def paths(jobs):
    return [tuple(str(path) if path else None for path in (job.image, job.mask, job.output)) for job in jobs]


@pytest.mark.parametrize(("arguments", "expected"), [
    (("one.png", "masks/a.png", "new.png"), [("one.png", "masks/a.png", "new.png")]),
    (("one.png", ALPHA, "new/"), [("one.png", None, "new/one.png")]),
    (("one.png", ALPHA, "masks"), [("one.png", None, "masks/one.png")]),
    (("photos", "one.png", "new"), [("photos/a.jpg", "one.png", "new/a.jpg"),
                                    ("photos/deep/b.PNG", "one.png", "new/deep/b.PNG")]),
    (("photos", "masks", "new"), [("photos/a.jpg", "masks/a.png", "new/a.jpg"),
                                  ("photos/deep/b.PNG", "masks/deep/b.png", "new/deep/b.PNG")]),
    (("photos/**/*.PNG", "masks", "new"), [("photos/deep/b.PNG", "masks/deep/b.png", "new/deep/b.PNG")]),
    (("photos/*.jpg", "masks/*.png", "new"), [("photos/a.jpg", "masks/a.png", "new/a.jpg")]),
])
def test_files_are_matched(folder, arguments, expected):
    assert paths(find(*arguments)) == expected


@pytest.mark.parametrize(("arguments", "message"), [
    (("nothing.png", ALPHA, "new.png"), "^--image=nothing.png: there is no such file or folder$"),
    (("*.gif", ALPHA, "new"), "^--image=.*matches no file"),
    (("photos", "masks/a.*", "new"), r"^photos/deep/b.PNG: has no mask of its name in --mask=masks/a.\*; add it"),
    (("one.png", "gone.png", "new"), "^--mask=gone.png: there is no such file"),
    (("photos", ALPHA, "photos"), "^--output=photos: would overwrite photos/a.jpg, which is read"),
    (("masks", ALPHA, "masks"), "^--output=masks: would overwrite"),
    (("one.png", "masks/a.png", "masks/../one.png"), "would overwrite"),
])
def test_invalid_arguments(folder, arguments, message):
    with pytest.raises(InputError, match=message):
        find(*arguments)


def test_two_masks_of_one_name(folder):
    (folder / "masks" / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="has the name of"):
        find("photos", "masks", "new")
