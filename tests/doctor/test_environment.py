"""What does not fit in an installation is an error with its cause; an unused accelerator is named."""

import importlib.metadata

import jax
import jaxlib
import pytest

from mai_jax import accelerators
from mai_jax.cli.main import main
from mai_jax.doctor import environment


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """Make this a machine with an NVIDIA GPU that JAX does not use."""
    (tmp_path / "nvidia0").touch()
    kind = accelerators.KINDS["an NVIDIA GPU"]._replace(files=(str(tmp_path / "nvidia[0-9]*"),))
    monkeypatch.setattr(accelerators, "KINDS", {"an NVIDIA GPU": kind})
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    return kind


def test_this_installation_fits_together(capsys):
    assert main(["doctor", "--environment"]) == 0, capsys.readouterr()
    report = capsys.readouterr().out
    assert f"jax {jax.__version__}, jaxlib {jaxlib.__version__}" in report and "no errors" in report


def test_requirements_that_are_missing_or_old_are_named(monkeypatch):
    wanted = ["jax>=999", "no_such_package>=1 ; python_version > '3'", "neither>=1 ; extra == 'gpu'", "numpy>=1"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    messages = [finding.message for finding in environment.section().findings]
    assert messages == [f"jax is {jax.__version__}, mai_jax needs jax>=999",
                        "no_such_package is not installed, mai_jax needs no_such_package>=1; python_version > \"3\""]


def test_a_plugin_of_another_version_is_an_error(monkeypatch):
    actual = environment._version
    monkeypatch.setattr(environment, "_version",
                        lambda name: "0.1.0" if name == "jax-cuda13-plugin" else actual(name))
    (finding,) = environment.section().findings
    assert finding.message == f"jax-cuda13-plugin is 0.1.0, jaxlib {jaxlib.__version__}: JAX does not load it"


def test_an_unused_gpu_is_named_with_the_cause(gpu, monkeypatch):
    monkeypatch.setattr(accelerators, "KINDS", {"an NVIDIA GPU": gpu._replace(plugins=("no_such_plugin",))})
    assert accelerators.unused() == ("this machine has an NVIDIA GPU, but JAX uses the CPU: no_such_plugin is not "
                                     "installed; pip install 'mai_jax[gpu]'")
    monkeypatch.setattr(accelerators, "KINDS", {"an NVIDIA GPU": gpu._replace(plugins=("jax",))})
    assert "its plugin did not start" in accelerators.unused()
    (finding,) = environment.section().findings
    assert finding.severity == "error" and finding.consequence.startswith("JAX says: ")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert accelerators.unused().endswith("JAX_PLATFORMS is 'cpu'; unset it")


def test_a_machine_without_accelerator_and_one_that_uses_it_are_fine(gpu, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert accelerators.unused() is None
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(accelerators, "KINDS", {"an NVIDIA GPU": gpu._replace(files=("/no/such/file",))})
    assert accelerators.unused() is None


def test_a_training_warns(gpu, tmp_path, capsys):
    no_steps = ("--config.main_phase.steps=0", "--config.finetune_phase.steps=0")
    assert main(["train", "--config=quickstart", f"--workdir={tmp_path / 'run'}", "--processes=1", *no_steps]) == 1
    assert "this machine has an NVIDIA GPU, but JAX uses the CPU" in capsys.readouterr().out
