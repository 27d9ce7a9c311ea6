"""A run that gets more steps or another config, or starts from the weights of another run."""

import dataclasses
import shutil
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from mai_jax.cli.main import main
from mai_jax.config import Losses, Phase, to_dict
from mai_jax.errors import InputError
from mai_jax.training import continuation
from mai_jax.training.checkpointing import CheckpointReader, CheckpointWriter
from mai_jax.training.continuation import NO_CHANGES, StartOptions
from mai_jax.training.train_state import checkpoint_items
from mai_jax.training.train_step import data_mesh
from mai_jax.training.trainer import restore_or_init, train
from tests.real_runs import logged
from tests.tiny_model import Tiny
from tests.tiny_model import tiny_config as plain_config
from tests.untrained import noise_photographs


def tiny_config(photographs, steps, **fields):
    """Return the config of a run with averaged weights, accumulated gradients and a best checkpoint."""
    config = plain_config(photographs, steps, **{"batch_size": 16, "accumulate": 2, "ema_decay": 0.9} | fields)
    config.run.validation_every, config.run.keep_best = 1, "psnr"
    return config


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return noise_photographs(tmp_path_factory.mktemp("data") / "photographs", 4, 40, 40)


@pytest.fixture(scope="module")
def six_steps(photographs, tmp_path_factory) -> Path:
    """Return the folder of a run of six steps, with checkpoints of steps 2, 4 and 6, and the best."""
    folder = tmp_path_factory.mktemp("runs") / "six"
    train(tiny_config(photographs, 6), folder)
    return folder


def arrays(folder: Path) -> dict:
    return CheckpointReader(folder).meta["arrays"]


def test_the_best_step_is_kept_without_the_optimizer(six_steps):
    psnr = {line["step"]: line["validation/psnr"] for line in logged(six_steps) if "validation/psnr" in line}
    assert psnr.keys() == {1, 2, 3, 4, 5, 6}
    reader = CheckpointReader(six_steps / "best")
    assert reader.step == max(psnr, key=psnr.get) and reader.meta["arrays"].keys() == {"params", "ema"}
    assert reader.meta["validation"] == {"metric": "psnr", "value": psnr[reader.step]}


def test_a_run_goes_on_as_planned_and_with_changes(six_steps, photographs, tmp_path, caplog):
    caplog.set_level("INFO", logger="mai_jax")
    train(tiny_config(photographs, 4), tmp_path)
    train(tiny_config(photographs, 6), tmp_path)
    assert arrays(tmp_path) == arrays(six_steps) and arrays(tmp_path / "best") == arrays(six_steps / "best")
    events = [{"step": 5, "event": "after step 4: config.main_phase.steps: 4 -> 6"}]
    assert [line for line in logged(tmp_path) if "event" in line] == events
    assert [line for line in logged(tmp_path) if "event" not in line] == logged(six_steps)
    assert ("2 more steps, to step 6; learning rate: main to step 6: 0.0002, constant; it was 0.0002 and goes on at "
            "0.0002") in caplog.messages

    train(tiny_config(photographs, 8, batch_size=32), tmp_path, StartOptions(("batch_size",)))
    first, second = {"step": 4, "changes": ["config.main_phase.steps: 4 -> 6"]}, {
        "step": 6, "changes": ["config.batch_size: 16 -> 32", "config.main_phase.steps: 6 -> 8"]}  # fmt: skip
    assert [CheckpointReader(tmp_path, step).history for step in (4, 6, 8)] == [[], [first], [first, second]]
    assert continuation.describe([first, second]) == [
        "after step 4: config.main_phase.steps: 4 -> 6",
        "after step 6: config.batch_size: 16 -> 32; config.main_phase.steps: 6 -> 8"]


def test_a_run_on_an_archive_with_an_unreadable_photograph_resumes_bit_for_bit(photographs, tmp_path, caplog):
    """Without its newest checkpoints a folder is as a kill before them leaves it."""
    folder = Path(noise_photographs(tmp_path / "photographs", 24, 40, 40))
    (folder / "7.png").write_bytes(b"no image")
    with zipfile.ZipFile(tmp_path / "photographs.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    config = plain_config(str(tmp_path / "photographs.zip"), 6)
    config.data.test, config.data.unreadable = photographs, "skip"
    train(config, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    for step in (4, 6):
        shutil.rmtree(tmp_path / "killed" / "checkpoints" / str(step))
    train(config, tmp_path / "killed")
    assert arrays(tmp_path / "killed") == arrays(tmp_path / "whole")
    problem = "7.png: is not an image of a known format"
    for run in ("whole", "killed"):
        assert [CheckpointReader(tmp_path / run, step).meta["unreadable"] for step in (2, 6)] == [[problem]] * 2
        [event] = [line["event"] for line in logged(tmp_path / run) if "event" in line]
        assert event == f"{problem}; it is left out, and the next file takes its place"
    assert caplog.messages.count(event) == 1


def test_the_new_shape_of_a_decaying_schedule_is_logged(six_steps, photographs, caplog):
    caplog.set_level("INFO", logger="mai_jax")
    config = tiny_config(photographs, 6, main_phase=Phase(steps=12, schedule="cosine"))
    config.finetune_phase.steps = 3
    reader = continuation.latest(config, six_steps, StartOptions(("main_phase",)))
    continuation.log_schedule(reader, config)
    assert caplog.messages == ["9 more steps, to step 15; learning rate: main to step 12: 0.0002, cosine decay to 0; "
                               "finetune to step 15: 5e-05, constant; it was 0.0002 and goes on at 0.0001"]


@pytest.mark.parametrize(("main_steps", "finetune_steps", "message"), [
    (5, 0, r"config.main_phase.steps=5: .*six has done 6 steps of this phase; give 6 or more"),
    (5, 9, "config.main_phase.steps=5"),
    (6, 0, None), (6, 3, None), (9, 0, None), (9, 3, None),
])
def test_steps_that_are_done_stay_in_their_phase(six_steps, photographs, main_steps, finetune_steps, message):
    config = tiny_config(photographs, main_steps)
    config.finetune_phase.steps = finetune_steps
    if message is None:
        assert continuation.latest(config, six_steps).step == 6
    else:
        with pytest.raises(InputError, match=message):
            continuation.latest(config, six_steps)


def test_a_phase_that_has_ended_gets_no_more_steps(six_steps, photographs, monkeypatch):
    trained = tiny_config(photographs, 4)
    trained.finetune_phase.steps = 2
    monkeypatch.setattr(CheckpointReader, "config", trained, raising=False)
    init = CheckpointReader.__init__

    def with_two_phases(self, *arguments):
        init(self, *arguments)
        self.config = trained

    monkeypatch.setattr(CheckpointReader, "__init__", with_two_phases)
    changed = dataclasses.replace(trained, main_phase=Phase(steps=5))
    with pytest.raises(InputError, match=r"main_phase.steps=5: .*six is at step 6 and has ended this phase after 4"):
        continuation.latest(changed, six_steps)
    longer = dataclasses.replace(trained, finetune_phase=dataclasses.replace(trained.finetune_phase, steps=9))
    assert continuation.latest(longer, six_steps).step == 6


def test_another_config_is_refused_with_the_flag_that_allows_it(six_steps, photographs):
    config = tiny_config(photographs, 6, losses=Losses(hole=1.0), batch_size=32)
    with pytest.raises(InputError, match=r"batch_size: 16 -> 32; config.losses.hole: 6.0 -> 1.0; give the same .*, or "
                                         r"--continue-with=batch_size,losses.hole to go on"):
        continuation.latest(config, six_steps)
    with pytest.raises(InputError, match=r"another config: config.batch_size: 16 -> 32; give"):
        continuation.latest(config, six_steps, StartOptions(("losses",)))
    assert continuation.latest(config, six_steps, StartOptions(("config.batch_size", "losses.hole"))).step == 6
    with pytest.raises(InputError, match=r"seed: 0 -> 1; give the same values, or another --workdir$"):
        continuation.latest(dataclasses.replace(config, seed=1, batch_size=16), six_steps, StartOptions(("losses",)))


@pytest.mark.parametrize(("name", "message"), [
    ("losses.whole", "there is no such field"), ("los", "there is no such field"), ("", "there is no such field"),
    ("seed", "may not change during a run"), ("generator", "may not change"), ("generator.width", "may not change"),
])
def test_fields_that_may_not_change_cannot_be_named(name, message):
    with pytest.raises(InputError, match=f"--continue-with={name}: {message}"):
        StartOptions((name,))


def start_of(config, folder, options=NO_CHANGES):
    state, history, _ = restore_or_init(Tiny(config), config, folder, data_mesh(), options)
    return jax.device_get(state.variables), history


def test_a_run_starts_from_the_weights_of_another(six_steps, photographs, tmp_path, capsys, monkeypatch):
    config = tiny_config(photographs, 2, seed=5)
    variables, history = start_of(config, tmp_path / "new", StartOptions(init_from=f"{six_steps}@4"))
    saved = CheckpointReader(six_steps, 4).read("params", variables)
    jax.tree.map(np.testing.assert_array_equal, variables, saved)
    assert history == [{"step": 0, "changes": [f"initialized from {six_steps}@4"], "init_from": f"{six_steps}@4"}]

    newest = StartOptions(init_from=str(six_steps))
    state, history, _ = restore_or_init(Tiny(config), config, tmp_path / "new", data_mesh(), newest)
    assert history[0]["init_from"] == f"{six_steps}@6"
    assert continuation.describe(history) == [f"after step 0: initialized from {six_steps}@6"]
    with CheckpointWriter(tmp_path / "new", keep=1) as writer:
        writer.save(2, checkpoint_items(state), {"config": to_dict(config), "history": history})
    for name in ("", f"{six_steps}", f"{six_steps}@6"):  # the same command resumes
        assert start_of(config, tmp_path / "new", StartOptions(init_from=name))[1][0]["init_from"] == f"{six_steps}@6"
    with pytest.raises(InputError, match=r"new/checkpoints/2 is of a run that started from .*six@6; leave the flag"):
        start_of(config, tmp_path / "new", StartOptions(init_from=f"{six_steps}@4"))
    with pytest.raises(InputError, match="started from random initial parameters"):
        start_of(tiny_config(photographs, 6), six_steps, StartOptions(init_from=f"{six_steps}"))


def test_weights_that_do_not_fit_are_named_and_taken_in_part_only_on_request(six_steps, photographs, tmp_path, caplog):
    caplog.set_level("INFO", logger="mai_jax")
    config = tiny_config(photographs, 2)
    config.generator.width = 8
    with pytest.raises(InputError, match=r"3 arrays differ, as listed above, the first is params/generator/layers_0/"
                                         r"bias \(float32\[4\] there, float32\[8\] here\); .* --init-partial"):
        start_of(config, tmp_path, StartOptions(init_from=str(six_steps)))
    assert [line.partition(":")[0] for line in caplog.messages] == [
        "params/generator/layers_0/bias", "params/generator/layers_0/kernel", "params/generator/layers_2/kernel"]
    caplog.clear()
    variables, history = start_of(config, tmp_path, StartOptions(init_from=str(six_steps), init_partial=True))
    assert history[0]["changes"] == [f"initialized from {six_steps}@6 (2 of 5 arrays)"]
    assert len(caplog.messages) == 4 and "2 of 5 arrays are initialized" in caplog.messages[-1]
    initial, _ = start_of(config, tmp_path)
    saved, _ = start_of(tiny_config(photographs, 6), six_steps)
    np.testing.assert_array_equal(variables["params"]["generator"]["layers_2"]["bias"],
                                  saved["params"]["generator"]["layers_2"]["bias"])
    np.testing.assert_array_equal(variables["params"]["generator"]["layers_2"]["kernel"],
                                  initial["params"]["generator"]["layers_2"]["kernel"])


@pytest.mark.parametrize(("flags", "message"), [
    (["--init-partial"], "--init-partial: says what --init-from takes"),
    (["--init-from=nowhere"], "nowhere: no such folder"),
    (["--continue-with=seed"], "--continue-with=seed: may not change"),
])
def test_the_flags_reach_the_training(tmp_path, capsys, flags, message):
    assert main(["train", "--config=tests/tiny_model.py", f"--workdir={tmp_path / 'run'}", "--processes=1",
                 *flags]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list((tmp_path / "run").glob("*/*"))
