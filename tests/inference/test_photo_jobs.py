"""Matching of photographs, masks and outputs by name."""

import os

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
    """Return image, mask and output of each job; a list of several masks, None without."""
    shown = lambda masks: None if not masks else masks[0] if len(masks) == 1 else masks  # noqa: E731
    return [(str(job.image), shown([str(path) for path in job.masks]), str(job.output)) for job in jobs]


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
    assert paths(find(*arguments).jobs) == expected


@pytest.mark.parametrize(("arguments", "message"), [
    (("nothing.png", ALPHA, "new.png"), "^--image=nothing.png: there is no such file or folder$"),
    (("*.gif", ALPHA, "new"), "^--image=.*matches no file"),
    (("photos", "masks/deep/b.*", "new"), r"^photos/a.jpg: has no mask of its name in --mask=masks/deep/b.\*; add it "
     r"\(a.png or a_mask.png\), or name one mask file for all \(2 photographs have none\)$"),
    (("one.png", "gone.png", "new"), "^--mask=gone.png: there is no such file"),
    (("photos", ALPHA, "photos"), "^--output=photos: would overwrite photos/a.jpg, which is read"),
    (("masks", ALPHA, "masks"), "^--output=masks: would overwrite"),
    (("one.png", "masks/a.png", "masks/../one.png"), "would overwrite"),
])
def test_invalid_arguments(folder, arguments, message):
    with pytest.raises(InputError, match=message):
        find(*arguments)


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_a_photograph_without_a_mask_does_not_stop_the_others(folder):
    write(folder, "photos/c.png")
    found = find("photos", "masks", "new")
    assert paths(found.jobs) == [("photos/a.jpg", "masks/a.png", "new/a.jpg"),
                                 ("photos/deep/b.PNG", "masks/deep/b.png", "new/deep/b.PNG")]
    assert [problem.message for problem in found.problems] == [
        "photos/c.png: has no mask of its name in --mask=masks; add it (c.png or c_mask.png), or name one mask file "
        "for all"]


@pytest.mark.parametrize("images", ["photos", "photos/", "photos/deep/..", "photos/**/*.*"])
def test_masks_and_earlier_results_among_the_photographs_are_not_filled(folder, images):
    (folder / "photos/notes.txt").unlink()
    write(folder, "photos/mask.png", "photos/new/a.jpg", "photos/new/a_attention.png")
    found = find(images, "photos/mask.png", "photos/new")
    assert [(job.image.resolve(), str(job.output)) for job in found.jobs] == [
        (folder.resolve() / "photos" / name, f"photos/new/{name}") for name in ("a.jpg", "deep/b.PNG")]
    assert found.notes == [f"{images}: not filled, because they are in --output: 2",
                           f"{images}: not filled, because they are masks: 1"]


def test_a_folder_of_masks_among_the_photographs_is_not_filled(folder):
    write(folder, "photos/m/a.png", "photos/m/deep/b.gif", "photos/m/of_no_photo.png")
    assert paths(find("photos", "photos/m", "photos/new").jobs) == [
        ("photos/a.jpg", "photos/m/a.png", "photos/new/a.jpg"),
        ("photos/deep/b.PNG", "photos/m/deep/b.gif", "photos/new/deep/b.PNG")]


def test_masks_in_the_folder_above_the_photographs(folder):
    write(folder, "a_mask.png")
    found = find("photos", ".", "new")
    assert paths(found.jobs) == [("photos/a.jpg", "a_mask.png", "new/a.jpg")] and len(found.problems) == 1


def test_a_folder_in_which_nothing_is_left_to_fill_is_an_error(folder):
    write(folder, "done/out/a.png", "done/m/b.png")
    with pytest.raises(InputError, match=r"^done: holds no photograph to fill \(done: not filled, because they are in "
                       r"--output: 1; done: not filled, because they are masks: 1\); name another folder$"):
        find("done", "done/m", "done/out")


@pytest.mark.parametrize(("where", "names"), [
    *((where, names) for where in ("photos", "other") for names in (
        ("{}_mask.png",), ("{}_mask001.png",), ("{}-mask.jpg",), ("{}_MASK_7.PNG",), ("mask_{}.png",),
        ("{}_mask001.png", "{}_mask002.png"))),
    ("other", ("{}.gif", "{}_mask.png")), ("other", ("{}.gif", "{}.png")),
])
def test_masks_with_a_longer_name_are_paired_and_several_are_united(folder, where, names):
    by_photo = [{f"{where}/{prefix}{name.format(stem)}" for name in names}
                for prefix, stem in (("", "a"), ("deep/", "b"))]  # fmt: skip
    write(folder, *by_photo[0], *by_photo[1])
    found = find("photos", where, "new")
    assert [str(job.image) for job in found.jobs] == ["photos/a.jpg", "photos/deep/b.PNG"]
    assert [set(map(str, job.masks)) for job in found.jobs] == by_photo


def test_a_photograph_whose_own_name_ends_in_mask_has_a_mask_of_that_name(folder):
    write(folder, "photos/a_mask.jpg", "masks/a_mask.png")
    assert ("photos/a_mask.jpg", "masks/a_mask.png", "new/a_mask.jpg") in paths(find("photos", "masks", "new").jobs)
    assert ("photos/a.jpg", "masks/a.png", "new/a.jpg") in paths(find("photos", "masks", "new").jobs)


def test_files_that_are_not_read_are_counted_and_named(folder):
    write(folder, "photos/x.cr3", "photos/deep/c.mov", *(f"photos/{i}.raw" for i in range(7)), "photos/.hidden")
    assert find("photos", ALPHA, "new").notes == [
        "photos: not read, because they are no images: 10 (0.raw, 1.raw, 2.raw, 3.raw, 4.raw and 5 more)"]
    write(folder, "raws/a.cr2")
    with pytest.raises(InputError, match=r"^--image='raws': holds no image; looked for .*; found a\.cr2$"):
        find("raws", ALPHA, "new")


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/null", "/dev/fd/1", "pipe"])
def test_a_device_or_pipe_is_no_output(folder, output):
    os.mkfifo("pipe")
    with pytest.raises(InputError, match=f"^--output={output}: is neither a file nor a folder; name a file to write$"):
        find("one.png", "masks/a.png", output)


def test_long_names_are_looked_for_without_an_error(folder):
    long = "x" * 251 + ".png"
    write(folder, f"photos/{long}")
    assert find("photos", "one.png", "new").jobs[-1].output.name == long
    assert find("one.png", "masks/a.png", "y" * 300 + ".png").jobs


@pytest.mark.parametrize(("ending", "names"), [
    ("png", ["b.PNG", "c.png", "j.png"]), ("jpg", ["b.jpg", "c.jpg", "j.jpeg"]),
])
def test_results_of_another_format_get_its_ending(folder, ending, names):
    write(folder, "p/b.PNG", "p/c.gif", "p/j.jpeg", "p/c.heic")
    found = find("p", ALPHA, "new", ending)
    assert [job.output.name for job in found.jobs] == names
    assert [problem.message for problem in found.problems] == [
        f"p/c.heic: its result would be new/c.{ending}, as that of p/c.gif; rename one of them"]


@pytest.mark.parametrize(("images", "masks", "expected"), [
    ("a/x.gif", "of_x", [("x.gif", ["1.png", "2.png", "10.png"])]),  # all masks are for the only photograph
    ("a", "by_name", [("x.gif", ["1.png", "2.png"]), ("y.gif", ["y.gif"])]),  # a folder of masks
    ("film", "numbers", [("f9.jpg", ["m009.png"]), ("f10.jpg", ["m010.png"])]),  # in order
    ("film", "numbers/m009.png", [("f9.jpg", ["m009.png"]), ("f10.jpg", ["m009.png"])]),  # one for all
])
def test_masks_of_frames(folder, images, masks, expected):
    write(folder, "a/x.gif", "a/y.gif", "of_x/1.png", "of_x/2.png", "of_x/10.png", "by_name/x/1.png", "by_name/x/2.png",
          "by_name/y.gif", "film/f9.jpg", "film/f10.jpg", "numbers/m009.png", "numbers/m010.png")
    found = find(images, masks, "new", frames=True)
    pairs = [(job.image.name, [path.name for path in job.masks]) for job in found.jobs]
    assert sorted(pairs) == sorted(expected)
    in_order = "numbers: holds as many masks, of other names; they are taken in order: f9.jpg with m009.png and so on"
    assert found.notes == ([in_order] if masks == "numbers" else [])
    if masks in ("of_x", "numbers"):
        with pytest.raises(InputError, match="has no mask of its name"):
            find(images, masks, "new")


def test_frames_and_masks_of_different_number_are_not_paired(folder):
    write(folder, "film/f9.jpg", "film/f10.jpg", "film/f11.jpg", "numbers/m009.png", "numbers/m010.png")
    with pytest.raises(InputError, match=r"f10\.jpg: has no mask of its name in --mask=numbers"):
        find("film", "numbers", "new", frames=True)
