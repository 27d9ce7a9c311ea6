"""The cache of compiled programs: the second start of a command reads what the first one compiled."""

import os
import subprocess
import sys
import textwrap

SCRIPT = textwrap.dedent("""
    import logging, jax, jax.numpy as jnp
    from mai_jax.cli import app

    app.MIN_COMPILE_SECONDS = 0
    app.enable_compilation_cache()
    hits = []
    jax.monitoring.register_event_listener(lambda event, **_: hits.append(event.endswith("cache_hits")))
    jax.jit(lambda x: jnp.linalg.inv(x) @ x)(jnp.eye(3)).block_until_ready()
    print(sum(hits))
""")


def start(**env):
    clean = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=clean | env, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_the_second_start_compiles_nothing(tmp_path):
    assert start(XDG_CACHE_HOME=str(tmp_path)) == 0
    assert start(XDG_CACHE_HOME=str(tmp_path)) > 0
    assert any((tmp_path / "mai_jax" / "compiled").iterdir())


def test_a_folder_that_the_user_names_is_used(tmp_path):
    own = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "b"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    assert start(XDG_CACHE_HOME=str(tmp_path / "a"), **own) == 0
    assert any((tmp_path / "b").iterdir()) and not (tmp_path / "a").exists()
