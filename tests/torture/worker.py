"""One process in which inputs are tried, one number after the other, under limits and watched.

It reads numbers from standard input, and writes one JSON object for each to standard output.
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

from mai_jax.types import RunError
from tests.torture.entrances import ENTRANCES, ROOT
from tests.torture.mutation import Tree, mutated
from tests.torture.seeds import tree_of

ADDRESS_SPACE = 4 << 30  # bytes beyond those of the libraries; what the promise allows is far less
FILE = 1 << 30
LONGEST = 1500  # characters of a clear line
EXECUTES = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "subprocess.Popen",
            "pty.spawn", "pickle.find_class", "socket.connect", "socket.getaddrinfo", "webbrowser.open", "os.kill"}
CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown",
           "os.truncate", "shutil.rmtree", "shutil.move", "shutil.copyfile"}  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
READABLE = tuple(map(str, (ROOT, sys.prefix, sys.base_prefix, "/proc/", "/sys/", "/dev/null", "/dev/urandom",
                           "/usr/lib")))  # fmt: skip


class Guard:
    """An audit hook that forbids what no input may cause, and remembers it, whoever swallows the error."""

    def __init__(self, place: Path) -> None:
        self.place, self.armed, self.broken = str(place), False, []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.armed and (event in EXECUTES or not self._stays(event, arguments)):
            self.broken.append(f"{event} {arguments!r}"[:300])
            raise PermissionError(f"the fuzzer forbids {event}")

    def _stays(self, event: str, arguments: tuple[Any, ...]) -> bool:
        """Whether only files of the case are changed, and only they and those of programs are read."""
        names = [name for name in arguments if isinstance(name, str | bytes | os.PathLike)]
        if event in CHANGES:
            return all(map(self._inside, names))
        if event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
            return True
        name, mode, flags = arguments
        writes = bool(flags & WRITES) if isinstance(flags, int) else bool(set(mode or "r") & set("wax+"))
        return self._inside(name) or (not writes and self._readable(name))

    def _inside(self, name: Any) -> bool:
        return (os.path.abspath(os.fsdecode(name)) + "/").startswith(self.place + "/")

    def _readable(self, name: Any) -> bool:
        return os.path.abspath(os.fsdecode(name)).startswith(READABLE)


def made(number: int, seed: int, valid: dict[str, list[Tree]], names: list[str]) -> tuple[str, Tree]:
    """The entrance and the files of an input, from its number alone."""
    rng = np.random.default_rng([seed, number])
    name = names[number % len(names)]
    trees = valid[name]
    tree = trees[rng.integers(len(trees))]
    return name, tree if rng.random() < 0.02 else mutated(tree, [trees[rng.integers(len(trees))]], rng)


def order(chosen: list[str]) -> list[str]:
    """The entrances in the order in which inputs are dealt out to them, each as often as its share says."""
    shares = {name: ENTRANCES[name].share for name in chosen}
    spread = [((i + 0.5) / share, name) for name, share in shares.items() for i in range(share)]
    return [name for _, name in sorted(spread)]


def write(tree: Tree, folder: Path) -> None:
    for name, held in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(held, bytes):
            path.write_bytes(held)
        elif held == "fifo":
            os.mkfifo(path)
        elif held == "folder":
            path.mkdir()
        else:
            path.symlink_to(held.removeprefix("-> "))


def attempt(name: str, folder: Path, guard: Guard) -> dict[str, Any]:
    """What became of an input: how long it took, how much memory, and what it raised."""
    entrance, before = ENTRANCES[name], _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    start, guard.broken, guard.armed = time.monotonic(), [], True
    outcome, said = "accepted", ""
    try:
        entrance.use(folder)
    except RunError as error:
        outcome, said = "refused", str(error)
        if not said.strip() or "\n" in said or not said.isprintable() or len(said) > LONGEST:
            outcome, said = "unclear", repr(said)
    except BaseException:
        outcome, said = "crashed", traceback.format_exc()
    guard.armed = False
    seconds, peak = time.monotonic() - start, (_resident("VmHWM") - before) / 1024
    if guard.broken:
        outcome, said = "forbidden", f"{guard.broken[0]}\n{said}"
    elif peak > entrance.memory:
        outcome, said = "memory", f"{peak:.0f} MiB of {entrance.memory}\n{said}"
    return {"entrance": name, "outcome": outcome, "seconds": seconds, "peak": peak, "said": said[-6000:]}


def _resident(which: str) -> int:
    """KiB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(which))


def main() -> None:
    seed, chosen, place = int(sys.argv[1]), sys.argv[2].split(","), Path(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    with open(place / "chatter.txt", "wb") as chatter:
        os.dup2(chatter.fileno(), 1)
        os.dup2(chatter.fileno(), 2)
    valid = {name: [tree_of(path) for path in sorted((place.parent / "seeds" / name).iterdir())] for name in chosen}
    folder, guard, names = place / "case", Guard(place), order(chosen)
    for name in chosen:  # everything is imported and compiled before limits count
        _tried(name, valid[name][0], folder, guard, check=False)
    _limit()
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        number = int(line)
        name, tree = made(number, seed, valid, names)
        print(json.dumps({"number": number, **_tried(name, tree, folder, guard)}), file=answers, flush=True)


def _tried(name: str, tree: Tree, folder: Path, guard: Guard, *, check: bool = True) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        write(tree, folder)
    except OSError as error:  # such a folder cannot be
        return {"entrance": name, "outcome": "refused", "seconds": 0.0, "peak": 0.0, "said": f"not to be made: {error}"}
    result = attempt(name, folder, guard)
    if not check and result["outcome"] != "accepted":
        print(f"{name}: the valid seed was not accepted: {result}")
    return result


def _limit() -> None:
    with open("/proc/self/statm") as sizes:
        pages = int(sizes.read().split()[0])
    space = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
