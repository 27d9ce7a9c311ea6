"""Lists and archives give the same source as the folder of their files; hostile ones are refused in one line."""

import io
import os
import stat
import tarfile
import zipfile

import pytest

from mai_jax.config import Data
from mai_jax.data import archives
from mai_jax.data.sources import open_source
from mai_jax.errors import InputError

CONTENT = {f"{'sub/' if i % 3 == 0 else ''}{i:02}.{'jpg' if i % 2 else 'PNG'}": bytes([i]) * (i + 1) for i in range(30)}
NOT_IMAGES = {"notes.txt": b"x", "__MACOSX/._01.jpg": b"x", ".hidden/a.png": b"x"}


def write_folder(path):
    for name, content in (CONTENT | NOT_IMAGES).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_zip(path, entries=None, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in (entries or CONTENT | NOT_IMAGES).items():
            archive.writestr(name, content)
    return path


def write_tar(path, prefix="./"):
    with tarfile.open(path, "w") as archive:
        for name, content in (CONTENT | NOT_IMAGES).items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def tar_of(path, **fields):
    """Write a tar archive with one member "a.png" of these fields."""
    member = tarfile.TarInfo("a.png")
    for name, value in fields.items():
        setattr(member, name, value)
    with tarfile.open(path, "w") as archive:
        archive.addfile(member)
    return path


def contents(address, part="train", **fields):
    source = open_source(Data(train=str(address), **fields), part)
    return {item["id"]: item["bytes"] for item in map(source.__getitem__, range(len(source)))}


@pytest.mark.parametrize("write, name", [
    (write_zip, "a.zip"), (lambda path: write_zip(path, method=zipfile.ZIP_STORED), "b.ZIP"), (write_tar, "a.tar"),
    (lambda path: write_tar(path, prefix=""), "b.tar"),
])  # fmt: skip
def test_an_archive_is_read_as_the_folder_that_was_packed(tmp_path, write, name):
    folder = write_folder(tmp_path / "folder")
    path = write(tmp_path / name)
    for part in ("train", "test"):
        data = [Data(train=str(address)) for address in (folder, path)]
        assert repr(open_source(data[0], part)) == repr(open_source(data[1], part))
        assert contents(folder, part) == contents(path, part)
    assert list(contents(path, test="sample_photos").items()) == sorted(CONTENT.items())


@pytest.mark.parametrize("name, head, line", [
    ("a.txt", "", "{}\n"), ("a.flist", "\n", "{}\r\n"), ("a.csv", "", "{}\n"),
    ("b.csv", "id,Path,label\n", '7,"{}",1\n'), ("absolute.txt", "\ufeff", "{root}/{}\n"),
])  # fmt: skip
def test_a_list_is_read_in_its_order(tmp_path, name, head, line):
    write_folder(tmp_path)
    names = [*CONTENT, "a, b.png"] if name == "b.csv" else [*CONTENT]
    (tmp_path / "a, b.png").write_bytes(b"ab")
    (tmp_path / name).write_text(head + "".join(line.format(file, root=tmp_path) for file in names), newline="")
    read = contents(tmp_path / name, test="sample_photos")
    assert [id.removeprefix(f"{tmp_path}/") for id in read] == names
    assert [*read.values()][:30] == [*CONTENT.values()]
    held_out = contents(tmp_path / name, "test")
    assert 0 < len(held_out) < 15 and not held_out.keys() & contents(tmp_path / name).keys()


@pytest.mark.parametrize("name, text, message", [
    ("a.txt", "\n \n", "lists no file; write one path a line"),
    ("a.txt", "a.png\nb.png\na.png\n", "line 3: a.png is listed in line 1, too"),
    ("a.txt", "x/a.png\nx/b.png", r"none of the files of its first 2 lines exists: x/a.png, x/b.png; paths are"),
    ("a.csv", "path\n" + 200_000 * "x", r"line 2: is not CSV \(field larger than"),
    ("a.csv", "a.png\nb\0.png", "line 2: has a zero byte, as text in UTF-16; save the list as UTF-8"),
])
def test_unusable_lists_are_refused(tmp_path, name, text, message):
    (tmp_path / "a.png").touch()
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=rf"^{tmp_path / name}(: |, ){message}"):
        contents(tmp_path / name, test="sample_photos")


def patched(path, old, new):
    """Replace bytes of a file, as a program that means harm would."""
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


def link(path):
    info = zipfile.ZipInfo("a.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    return path


def encrypted(path):
    content = bytearray(write_zip(path).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


def twice(path):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "w") as archive:
        for _ in range(2):
            archive.writestr("a.png", b"x")
    return path


def cut(path, size):
    os.truncate(path, size)
    return path


HOSTILE = {
    "no zip": ("a.zip", lambda p: p.write_bytes(b"no") and p, "cannot be read .File is not a zip file.; replace it"),
    "cut zip": ("a.zip", lambda p: cut(write_zip(p), 800), "cannot be read .File is not a zip file."),
    "link in zip": ("a.zip", link, "a.png in it is a link, which is not followed"),
    "encrypted": ("a.zip", encrypted, "00.PNG in it is encrypted; pack it without a password"),
    "method": ("a.zip", lambda p: write_zip(p, method=zipfile.ZIP_LZMA), "00.PNG in it is compressed by method 14"),
    "twice": ("a.zip", twice, "holds a.png twice"),
    "bomb": ("a.zip", lambda p: write_zip(p, {"a.bmp": bytes(65 * 2**20)}),
             "a.bmp in it has 68,157,440 bytes, unpacked from 66,.*expand 200-fold"),
    "no image": ("a.zip", lambda p: write_zip(p, NOT_IMAGES), "holds no image; looked for .jpg"),
    "no tar": ("a.tar", lambda p: p.write_bytes(b"no" * 999) and p, "cannot be read .*; replace it"),
    "cut tar": ("a.tar", lambda p: cut(write_tar(p), 5 * 1024), "cannot be read .it is cut off or damaged."),
    "cut member": ("a.tar", lambda p: cut(write_tar(p), 5 * 1024 - 100), "cannot be read .unexpected end of data."),
    "damaged tar": ("a.tar", lambda p: patched(write_tar(p), b"./07.jpg", b"./77.jpg"), "it is cut off or damaged"),
    "link in tar": ("a.tar", lambda p: tar_of(p, type=tarfile.SYMTYPE, linkname="/etc"), "a.png in it is a link"),
    "hard link": ("a.tar", lambda p: tar_of(p, type=tarfile.LNKTYPE, linkname="b"), "is a link.*--hard-dereference"),
    "device": ("a.tar", lambda p: tar_of(p, type=tarfile.CHRTYPE), "a.png in it is not a plain file"),
}  # fmt: skip


@pytest.mark.parametrize("name, write, message", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives_are_refused(tmp_path, name, write, message):
    path = write(tmp_path / name)
    with pytest.raises(InputError, match=f"^{path}: .*{message}"):
        open_source(Data(train=str(path), test="sample_photos"), "train")


def test_files_that_cannot_be_read_are_named(tmp_path):
    stored = patched(write_zip(tmp_path / "a.zip", method=zipfile.ZIP_STORED), bytes([7]) * 8, bytes([8]) * 8)
    deflated = write_zip(tmp_path / "b.zip")
    wrong = write_zip(tmp_path / "c.zip", {"a.png": bytes(1000), "b.png": b"x"})
    patched(wrong, (1000).to_bytes(4, "little"), (900).to_bytes(4, "little"))  # the size, also in the index
    changed = write_tar(tmp_path / "a.tar")
    sources = {path: open_source(Data(train=str(path), test="sample_photos"), "train")
               for path in (stored, deflated, wrong, changed)}
    header = deflated.read_bytes().index(b"PK\x03\x04\x14\x00\x00\x00\x08\x00")
    with deflated.open("r+b") as file:
        version = os.stat(deflated)
        file.seek(header)
        file.write(b"XX")
    os.utime(deflated, ns=(version.st_atime_ns, version.st_mtime_ns))
    write_tar(changed, prefix="")
    os.utime(changed, ns=(0, 0))
    for path, index, message in (
        (stored, 6, "07.jpg in it cannot be read .its checksum differs."),
        (deflated, 20, "sub/00.PNG in it cannot be read .its header is damaged."),
        (wrong, 0, "a.png in it cannot be read .its size is not that of the index."),
        (changed, 0, "01.jpg in it cannot be read .the archive has changed since it was opened."),
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"^{path}: {message}"):
            for i in [index] if path != stored else range(30):
                sources[path][i]


def test_other_files_are_refused(tmp_path):
    cases = {"a.tar.gz": "is compressed as a whole, .*decompress it to .tar", "a.py": "is a file; name the folder"}
    for name, message in cases.items():
        (tmp_path / name).touch()
        with pytest.raises(InputError, match=message):
            open_source(Data(train=str(tmp_path / name)), "train")


def test_a_file_above_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 20)
    for path in (write_zip(tmp_path / "a.zip"), write_tar(tmp_path / "a.tar")):
        with pytest.raises(InputError, match=r"in it has 21 bytes"):
            open_source(Data(train=str(path)), "train")
