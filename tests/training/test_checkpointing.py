"""Checkpoints are restored bit for bit or refused; the error for damage names the way to resume."""

import collections
import errno
import os
import shutil
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mai_jax import config as config_lib
from mai_jax.config import Config
from mai_jax.errors import InputError, RunError
from mai_jax.training import checkpointing

DiskUsage = collections.namedtuple("DiskUsage", "total used free")


def trees(seed: int) -> dict:
    params = {"conv": {"kernel": jax.random.normal(jax.random.key(seed), (3, 3, 8, 64)), "bias": jnp.zeros(64)}}
    return {"params": params, "opt_state": {"generator": optax.adam(1e-3).init(params)}}


@pytest.fixture
def workdir(tmp_path):
    with checkpointing.CheckpointWriter(tmp_path, keep=2) as writer:
        for step in (1, 2, 3):
            writer.save(step, trees(step), {"config": config_lib.to_dict(Config(seed=step)), "next_index": step})
    return tmp_path


def test_the_newest_is_restored_bit_for_bit_and_old_ones_are_removed(workdir):
    assert checkpointing.steps(workdir) == [2, 3]
    for step, wanted in ((None, 3), (2, 2)):
        reader = checkpointing.CheckpointReader(workdir, step)
        assert (reader.step, reader.config.seed, reader.meta["next_index"]) == (wanted, wanted, wanted)
        for item, tree in trees(wanted).items():
            saved = reader.read(item, jax.eval_shape(lambda tree=tree: tree))
            assert jax.tree.structure(saved) == jax.tree.structure(tree)
            for a, b in zip(*map(jax.tree.leaves, (saved, tree)), strict=True):
                np.testing.assert_array_equal(a, b)


def test_checkpoints_at_a_distance_are_kept(tmp_path):
    for steps in ((1, 2, 3), (4, 5, 6, 7)):  # also those of an earlier process
        with checkpointing.CheckpointWriter(tmp_path, keep=2, keep_every=2) as writer:
            for step in steps:
                writer.save(step, {"params": {"a": np.ones(3)}}, {"config": config_lib.to_dict(Config())})
    assert checkpointing.steps(tmp_path) == [2, 4, 6, 7]


def test_a_save_survives_the_donation_of_its_arrays(tmp_path):
    double = jax.jit(lambda tree: jax.tree.map(lambda x: 2 * x, tree), donate_argnums=0)
    tree = trees(0)["params"]
    with checkpointing.CheckpointWriter(tmp_path, keep=9) as writer:
        for step in range(1, 6):
            writer.save(step, {"params": tree}, {"config": config_lib.to_dict(Config())})
            tree = double(tree)
    for step in range(1, 6):
        saved = checkpointing.CheckpointReader(tmp_path, step).read("params", tree)
        np.testing.assert_array_equal(saved["conv"]["kernel"], 2.0 ** (step - 1) * trees(0)["params"]["conv"]["kernel"])


def test_an_unfinished_save_is_not_a_checkpoint_and_is_removed(workdir):
    unfinished = workdir / checkpointing.FOLDER / "4.orbax-checkpoint-tmp"
    (unfinished / "params").mkdir(parents=True)
    assert checkpointing.steps(workdir) == [2, 3]
    with checkpointing.CheckpointWriter(workdir, keep=2):
        assert not unfinished.exists()
    assert checkpointing.steps(workdir) == [2, 3]


def largest_file(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip_a_bit(step):
    path = largest_file(step / "params")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(step):
    path = largest_file(step / "params")
    path.write_bytes(path.read_bytes()[:100])


def delete_data(step):
    largest_file(step / "params").unlink()


def empty(step):
    shutil.rmtree(step)
    step.mkdir()


def garble_meta(step):
    largest_file(step / "meta").write_text("{")


def change_the_config(step):
    path = largest_file(step / "meta")
    path.write_text(path.read_text().replace('"image_size": 256', '"image_size": 254'))


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, delete_data, empty, garble_meta, change_the_config])
def test_damage_is_named_with_the_command_to_resume(workdir, damage):
    newest = workdir / checkpointing.FOLDER / "3"
    damage(newest)
    with pytest.raises(InputError) as error:
        checkpointing.CheckpointReader(workdir).read("params", trees(0)["params"])
    message = str(error.value)
    assert message.startswith(f"{newest}: damaged checkpoint") and "\n" not in message
    assert f"`mv '{newest}' '{workdir / 'damaged-3'}'`" in message and "the same command resumes from step 2" in message
    newest.rename(workdir / "damaged-3")
    assert checkpointing.CheckpointReader(workdir).step == checkpointing.CheckpointReader(str(workdir)).step == 2


@pytest.mark.parametrize(("change", "message"), [
    (lambda tree: tree["conv"].update(bias=jnp.zeros(65)), r"\['bias'\] is float32\[64\] there and float32\[65\] here"),
    (lambda tree: tree["conv"].update(bias=jnp.zeros(64, jnp.bfloat16)), "float32.* there and bfloat16"),
    (lambda tree: tree["conv"].update(scale=jnp.zeros(64)), r"\['scale'\] is missing there"),
    (lambda tree: tree["conv"].pop("bias"), r"\['bias'\] is float32\[64\] there and missing here"),
])
def test_a_checkpoint_of_another_model_is_refused(workdir, change, message):
    tree = trees(3)["params"]
    change(tree)
    with pytest.raises(InputError, match=message):
        checkpointing.CheckpointReader(workdir).read("params", tree)


def test_a_missing_checkpoint_is_refused(workdir, tmp_path_factory):
    empty_folder = tmp_path_factory.mktemp("empty")
    with pytest.raises(InputError, match="no such folder"):
        checkpointing.CheckpointReader(empty_folder / "missing")
    with pytest.raises(InputError, match="holds no checkpoint"):
        checkpointing.CheckpointReader(empty_folder)
    with pytest.raises(InputError, match="has no checkpoint of step 7; it has 2, 3"):
        checkpointing.CheckpointReader(workdir, 7)


def test_a_full_disk_stops_before_anything_is_written(workdir, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(100, 99, 1))
    full = pytest.raises(RunError, match="no space left on disk")
    with checkpointing.CheckpointWriter(workdir, keep=2) as writer, full:
        writer.save(4, trees(4), {"config": config_lib.to_dict(Config())})
    assert checkpointing.steps(workdir) == [2, 3]


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    ValueError(f"RESOURCE_EXHAUSTED: Failed to write: {os.strerror(errno.ENOSPC)} [os_error_code='28']"),  # TensorStore
])
def test_a_disk_that_becomes_full_during_a_save_is_named(tmp_path, monkeypatch, error):
    writer = checkpointing.CheckpointWriter(tmp_path, keep=2)
    monkeypatch.setattr(writer._manager, "wait_until_finished", Mock(side_effect=error))
    for finish in (writer.wait, writer.__exit__):
        with pytest.raises(RunError, match="no space left on disk: while a checkpoint was being written"):
            finish()


def test_a_folder_around_or_inside_a_run_names_the_run(workdir, tmp_path_factory):
    around = tmp_path_factory.mktemp("runs")
    for name in ("b", "a"):
        (around / name).symlink_to(workdir)
    (around / "log.txt").write_text("")
    for folder, found in ((around, f"{around}/a, {around}/b"), (workdir / checkpointing.FOLDER, workdir),
                          (workdir / checkpointing.FOLDER / "3", workdir)):
        with pytest.raises(InputError, match=rf"^{folder}: holds no checkpoint .*; did you mean {found}\?$"):
            checkpointing.CheckpointReader(folder)
