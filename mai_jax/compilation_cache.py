"""Compiled programs are kept on disk, so that only the first start of a kind waits for the compiler."""

import os
from pathlib import Path

import jax

SECONDS = 0.05  # programs that compile faster are not worth a file


def enable() -> None:
    """Keeps programs in $XDG_CACHE_HOME/mai_jax, unless JAX_COMPILATION_CACHE_DIR names another place.

    Changes JAX's global config, so commands call it and the library does not.
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return  # the user's own cache, under the user's own settings
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    jax.config.update("jax_compilation_cache_dir", str(Path(home, "mai_jax", "compiled").expanduser()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
