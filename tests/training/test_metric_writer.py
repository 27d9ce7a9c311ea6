"""The log after kills, restarts, incomplete lines and a full disk."""

import io
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

import mai_jax
from mai_jax import files
from mai_jax.errors import InputError
from mai_jax.training.metric_writer import MetricWriter

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def lines(workdir):
    return [json.loads(line) for line in (workdir / "log.jsonl").read_text().splitlines()]


def events(workdir):
    """Return the events of every file, oldest first. A record is length, checksum, event, checksum."""
    found = []
    for path in sorted((workdir / "tensorboard").iterdir()):
        stream = io.BytesIO(path.read_bytes())
        while length := stream.read(8):
            check, event = stream.read(4), stream.read(*struct.unpack("<Q", length))
            assert struct.unpack("<II", check + stream.read(4)) == (masked_crc32c(length), masked_crc32c(event))
            found.append(Event.FromString(event))
    return found


def shown(workdir):
    """Return what TensorBoard shows as {(tag, step): value}: a START hides earlier values at and after its step."""
    values = {}
    for event in events(workdir):
        if event.session_log.status == SessionLog.START:
            values = {key: value for key, value in values.items() if key[1] < event.step}
        values |= {(value.tag, event.step): value for value in event.summary.value}
    return values


def test_scalars_reach_both_files(tmp_path):
    with MetricWriter(tmp_path / "new" / "run", step=0) as writer:
        writer.write_scalars(7, {"loss/total": np.float32(0.5), "speed": 3})
        writer.write_scalars(8, {"bad": float("nan"), "worse": -float("inf")})
    first, second = lines(tmp_path / "new" / "run")
    assert first.pop("wall_time") > 1.7e9
    assert first == {"step": 7, "loss/total": 0.5, "speed": 3}
    assert (second["bad"], second["worse"]) == ("nan", "-inf")  # strict JSON cannot express them as numbers
    values = shown(tmp_path / "new" / "run")
    assert values["loss/total", 7].simple_value == 0.5 and np.isnan(values["bad", 8].simple_value)


def test_images_reach_both_places(tmp_path):
    with MetricWriter(tmp_path, step=0) as writer:
        writer.write_image(5, "validation", PICTURE)
    written, = (tmp_path / "pictures").iterdir()
    assert written.name == "validation_00000005.png"
    shown_png = shown(tmp_path)["validation", 5].image.encoded_image_string
    for picture in (written, io.BytesIO(shown_png)):
        assert np.array_equal(Image.open(picture), PICTURE)


def test_a_restart_drops_the_lines_that_will_be_logged_again(tmp_path):
    for start, end in ((0, 5), (3, 6), (6, 8)):
        with MetricWriter(tmp_path, step=start) as writer:
            for step in range(start + 1, end + 1):
                writer.write_scalars(step, {"loss": step + start / 10})
    expected = {1: 1, 2: 2, 3: 3, 4: 4.3, 5: 5.3, 6: 6.3, 7: 7.6, 8: 8.6}
    assert {line["step"]: line["loss"] for line in lines(tmp_path)} == expected
    assert len(lines(tmp_path)) == len(expected)
    assert {step: value.simple_value for (_, step), value in shown(tmp_path).items()} == pytest.approx(expected)


def test_an_incomplete_last_line_is_dropped_and_a_damaged_line_is_named(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "a": 1}\n{"step": 2, "a')
    with MetricWriter(tmp_path, step=9) as writer:
        writer.write_scalars(10, {"a": 3})
    assert [line["step"] for line in lines(tmp_path)] == [1, 10]
    damaged = '{"step": 1}\n{"ste\n{"step": 2}\n'
    log.write_text(damaged)
    with pytest.raises(InputError, match=r"log\.jsonl, line 2: not JSON"):
        MetricWriter(tmp_path, step=9)
    assert log.read_text() == damaged


def test_a_sigkill_loses_nothing_that_was_logged(tmp_path):
    program = """if True:
        import os, signal, sys, pathlib, numpy as np
        from mai_jax.training.metric_writer import MetricWriter
        writer = MetricWriter(pathlib.Path(sys.argv[1]), step=0)
        for step in range(1, 4):
            writer.write_scalars(step, {"loss": step})
        writer.write_image(3, "validation", np.zeros((8, 8, 3), np.uint8))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    environment = os.environ | {"PYTHONPATH": str(Path(mai_jax.__file__).parents[1])}
    killed = subprocess.run([sys.executable, "-c", program, tmp_path], check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]
    assert set(shown(tmp_path)) == {("loss", 1), ("loss", 2), ("loss", 3), ("validation", 3)}
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["validation_00000003.png"]


def test_partial_writes_are_completed(tmp_path, monkeypatch):
    class PartialWrites(io.FileIO):
        def write(self, content):
            return super().write(content[:7])

    with MetricWriter(tmp_path, step=0) as writer, PartialWrites(tmp_path / "log.jsonl", "ab") as log:
        monkeypatch.setattr(writer, "_log", log)
        writer.write_scalars(1, {"loss": 2})
    assert lines(tmp_path)[0]["loss"] == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
@pytest.mark.parametrize("target", ["start", "log", "events", "picture"])
def test_a_full_disk_is_reported_in_one_line(tmp_path, target, monkeypatch):
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1}\n{"step": 9}\n')
    (tmp_path / "pictures").mkdir()
    monkeypatch.setattr(files, "unfinished_name", lambda: "full.unfinished")
    full = {"start": "full.unfinished", "picture": "pictures/full.unfinished"}
    if target in full:
        (tmp_path / full[target]).symlink_to("/dev/full")
    with pytest.raises(InputError) as caught, MetricWriter(tmp_path, step=9 - 8 * (target == "start")) as writer:
        if target not in full:
            with open("/dev/full", "ab", buffering=0) as device:
                monkeypatch.setattr(writer, f"_{target}", device)
                writer.write_scalars(10, {"loss": 1})
        writer.write_image(10, "view", PICTURE)
    assert str(caught.value) == f"no space left in {tmp_path}: free some and start the same command again"
    assert log.read_text().startswith('{"step": 1}\n{"step": 9}\n')  # no incomplete file has replaced it
    assert not (tmp_path / "pictures" / "view_00000010.png").exists()
