"""A process that runs fuzzer inputs under limits of memory and with an audit hook.

It reads the numbers of inputs from standard input and writes one JSON object for each to standard output.
"""

import json
import os
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from mai_jax.errors import RunError
from tests.torture.entry_points import ENTRY_POINTS, ROOT
from tests.torture.mutation import Tree, mutate_tree
from tests.torture.seed_inputs import read_tree

ADDRESS_SPACE = 4 << 30  # bytes in addition to the libraries; far more than the limits of the entry points
MAX_FILE_BYTES = 1 << 30
MAX_MESSAGE = 1500  # characters of a clear line
EXECUTES = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "subprocess.Popen",
            "pty.spawn", "pickle.find_class", "socket.connect", "socket.getaddrinfo", "webbrowser.open", "os.kill"}
CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown",
           "os.truncate", "shutil.rmtree", "shutil.move", "shutil.copyfile"}  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
READABLE = tuple(map(str, (ROOT, sys.prefix, sys.base_prefix, "/proc/", "/sys/", "/dev/null", "/dev/urandom",
                           "/usr/lib")))  # fmt: skip


class Guard:
    """An audit hook that raises on forbidden events and records them, in case the code suppresses the error."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.active, self.violations = str(folder), False, []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.active and (event in EXECUTES or not self._is_allowed(event, arguments)):
            self.violations.append(f"{event} {arguments!r}"[:300])
            raise PermissionError(f"the fuzzer forbids {event}")

    def _is_allowed(self, event: str, arguments: tuple[Any, ...]) -> bool:
        """Return whether the event changes only files of the input, and reads only them and files of programs."""
        names = [name for name in arguments if isinstance(name, str | bytes | os.PathLike)]
        if event in CHANGES:
            return all(map(self._inside, names))
        if event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
            return True
        name, mode, flags = arguments
        writes = bool(flags & WRITES) if isinstance(flags, int) else bool(set(mode or "r") & set("wax+"))
        return self._inside(name) or (not writes and self._readable(name))

    def _inside(self, name: Any) -> bool:
        return (os.path.abspath(os.fsdecode(name)) + "/").startswith(self.folder + "/")

    def _readable(self, name: Any) -> bool:
        return os.path.abspath(os.fsdecode(name)).startswith(READABLE)


def make_input(number: int, seed: int, valid: dict[str, list[Tree]], names: list[str]) -> tuple[str, Tree]:
    """Return the entry point and the files of input `number`."""
    rng = np.random.default_rng([seed, number])
    name = names[number % len(names)]
    trees = valid[name]
    tree = trees[rng.integers(len(trees))]
    return name, tree if rng.random() < 0.02 else mutate_tree(tree, [trees[rng.integers(len(trees))]], rng)


def schedule(chosen: list[str]) -> list[str]:
    """Return the entry points in the schedule in which they get inputs, each as often as its share."""
    shares = {name: ENTRY_POINTS[name].share for name in chosen}
    spread = [((i + 0.5) / share, name) for name, share in shares.items() for i in range(share)]
    return [name for _, name in sorted(spread)]


def write(tree: Tree, folder: Path) -> None:
    """Write the files of an input. Raises OSError if the file system refuses a name."""
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content == "fifo":
            os.mkfifo(path)
        elif content == "folder":
            path.mkdir()
        else:
            path.symlink_to(content.removeprefix("-> "))


def measure(name: str, folder: Path, guard: Guard) -> dict[str, Any]:
    """Run the files of `folder` through an entry point. Return outcome, message, seconds and peak memory in MiB."""
    entry_point, before = ENTRY_POINTS[name], _memory_kib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    start, guard.violations, guard.active = time.monotonic(), [], True
    outcome, message = "accepted", ""
    try:
        entry_point.use(folder)
    except RunError as error:
        outcome, message = "refused", str(error)
        if not message.strip() or "\n" in message or not message.isprintable() or len(message) > MAX_MESSAGE:
            outcome, message = "unclear", repr(message)
    except BaseException:
        outcome, message = "crashed", traceback.format_exc()
    guard.active = False
    seconds, peak = time.monotonic() - start, (_memory_kib("VmHWM") - before) / 1024
    if guard.violations:
        outcome, message = "forbidden", f"{guard.violations[0]}\n{message}"
    elif peak > entry_point.memory:
        outcome, message = "memory", f"{peak:.0f} MiB of {entry_point.memory}\n{message}"
    return {"entry_point": name, "outcome": outcome, "seconds": seconds, "peak": peak, "message": message[-6000:]}


def _memory_kib(field: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))


def main() -> None:
    seed, chosen, place = int(sys.argv[1]), sys.argv[2].split(","), Path(sys.argv[3])
    results = os.fdopen(os.dup(1), "w")
    with open(place / "output.txt", "wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    valid = {name: [read_tree(path) for path in sorted((place.parent / "seeds" / name).iterdir())] for name in chosen}
    folder, guard, names = place / "case", Guard(place), schedule(chosen)
    for name in chosen:  # imports and compiles everything before limits apply
        run_input(name, valid[name][0], folder, guard, is_seed=True)
    _limit()
    print("{}", file=results, flush=True)
    for line in sys.stdin:
        number = int(line)
        name, tree = make_input(number, seed, valid, names)
        print(json.dumps({"number": number, **run_input(name, tree, folder, guard)}), file=results, flush=True)


def run_input(name: str, tree: Tree, folder: Path, guard: Guard, *, is_seed: bool = False) -> dict[str, Any]:
    """Write the files of an input to `folder` and return the result of `measure`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        write(tree, folder)
    except OSError as error:  # the file system refuses such a name
        return {"entry_point": name, "outcome": "refused", "seconds": 0.0, "peak": 0.0,
                "message": f"cannot be written: {error}"}
    result = measure(name, folder, guard)
    if is_seed and result["outcome"] != "accepted":
        print(f"{name}: the valid seed was not accepted: {result}")
    return result


def _limit() -> None:
    """Limit address space, file size and core dumps of this process."""
    with open("/proc/self/statm") as sizes:
        pages = int(sizes.read().split()[0])
    space = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
