"""The commit in a result: only that of a repository that tracks the package."""

import re
import subprocess
from pathlib import Path

import pytest

import mai_jax
from mai_jax.evaluation import eval_target

PACKAGE_FILE = "mai_jax/evaluation/eval_target.py"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Return a function that makes a repository with a commit, and a copy of the package at a path inside of it."""
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    def make(place, *, tracked):
        path = tmp_path / place / PACKAGE_FILE
        path.parent.mkdir(parents=True)
        path.write_text("")
        (tmp_path / "notes.txt").write_text("of another project")
        git("init")
        git("add", "--force", "notes.txt", *([str(path)] if tracked else []))
        git("commit", "--message=first")
        monkeypatch.setattr(eval_target, "__file__", str(path))
        return path

    return make


def test_a_checkout_is_stamped_with_its_commit_and_changes(repository):
    path = repository(".", tracked=True)
    assert re.fullmatch(rf"{re.escape(mai_jax.__version__)} \([0-9a-f]{{12}}\)", eval_target.code_version())
    path.write_text("changed")
    assert eval_target.code_version().endswith("+changes)")


def test_an_installed_copy_inside_another_repository_has_no_commit(repository):
    repository("venv/lib/python3.11/site-packages", tracked=False)
    assert eval_target.code_version() == mai_jax.__version__


def test_without_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(eval_target, "__file__", str(tmp_path / Path(PACKAGE_FILE).name))
    assert eval_target.code_version() == mai_jax.__version__
