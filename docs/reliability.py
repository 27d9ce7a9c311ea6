"""Writes docs/reliability.md from what `make torture` counted.

python docs/reliability.py --runs runs/torture_runs.json --fuzz runs/torture_fuzz.json
"""

import argparse
import json
import re
import statistics
from pathlib import Path
from typing import Any

from mai_jax.comparison.page import aligned, wrapped
from mai_jax.files import write_whole

HERE = Path(__file__).parent
Counts = dict[str, Any]
INTRODUCTION = """\
# What a run survives

Made by `python docs/reliability.py` from the records of these commands, which end with exit code 1 on any loss:

```
{commands}
```
"""
ABOUT = """\
Runs are of the real `python train.py` with a small network. {machine}. "Identical" means: the CRC-32 of every array of
the last checkpoint, and every logged scalar, are those of a run that nobody disturbed.
"""
DAMAGE = """\
"Named": the start ends with exit code 1 and one line that names the folder and the command that sets it aside, and the
checkpoint before it is whole. "Unread": the file is not needed, all that is read is the same to the bit. "Silent" would
be a state that differs, with nothing said; "unclear" a traceback, or more than a line.
"""
FUZZ = """\
Every input is a valid file, damaged or rewritten. "Refused": one clear line. "Broken" would be a crash, a hang over
{seconds:g} s, an unclear message, memory over the limit, or anything executed or written elsewhere.
"""
MEMORY = """\
What grows is due to the saves: TensorStore's `KvStore.Spec.to_json` never frees the 242 bytes that it returns (0.1.72
to 0.1.86, the newest, alike), and Orbax calls it, and what else converts JSON so, for every array of every checkpoint:
about 0.8 KB each time. MAI has 234 arrays, so its longest run, three million steps with a checkpoint every thousand,
comes to some 600 MB.
"""
MOMENTS = ("starting", "preparing its first step", "stepping", "saving")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, nargs="+",
                        help="what tests.torture.runs recorded; of a part that is in several files, the last counts")
    parser.add_argument("--fuzz", type=Path, help="what tests.torture.fuzz recorded")
    parser.add_argument("--output", type=Path, default=HERE / "reliability.md")
    given = parser.parse_args()
    runs = [json.loads(path.read_text()) for path in given.runs]
    fuzz = json.loads(given.fuzz.read_text()) if given.fuzz else None
    write_whole(given.output, page(runs, fuzz).encode())


def page(runs: list[Counts], fuzz: Counts | None) -> str:
    """The page. Parts that were not tried are left out."""
    parts = {name: counts for record in runs for name, counts in record["parts"].items()}
    machine = runs[-1]["machine"]
    said = (f"{machine['cores']} cores ({machine['cpu']}), {machine['system']}, Python {machine['python']}, JAX "
            f"{machine['jax']}, Orbax {machine['orbax']}")
    commands = "\n".join(record["command"] for record in (*runs, fuzz) if record)
    sections = [INTRODUCTION.format(commands=commands), wrapped(ABOUT.format(machine=said)), summary(parts, fuzz)]
    for name, section in SECTIONS.items():
        if name in parts:
            sections.append(section(parts[name]))
    if fuzz:
        sections.append(fuzzed(fuzz))
    return "\n\n".join(section.strip() for section in sections) + "\n"


def summary(parts: dict[str, Counts], fuzz: Counts | None) -> str:
    rows = [["what", "how often", "outcome", "losses"]]
    for name, tell in TOLD.items():
        if name in parts:
            rows.append([*tell(parts[name]), str(len(parts[name]["losses"]))])
    if fuzz:
        rows.append(["hostile input", f"{fuzz['inputs']:,}", "taken, or refused in one line", str(fuzz["findings"])])
    return aligned(rows, words=3)


def _kills(kills: Counts) -> list[str]:
    return ["SIGKILL at any moment", str(kills["kills"]),
            f"{_runs(kills['finished'])} came to the end, identical; at most {kills['most_steps_again']} steps done "
            "again"]


def _terms(terms: Counts) -> list[str]:
    if not terms["seconds"]:
        return ["SIGTERM", "0", ""]
    return ["SIGTERM", str(terms["terms"]),
            f"{terms['exit_0']} exit code 0, {terms['saved_last']} saved their last step, "
            f"{statistics.median(terms['seconds']):.1f} s from signal to end, {max(terms['seconds']):.1f} s at most; "
            f"{_runs(terms['finished'])} came to the end, identical"]


def _moves(moves: Counts) -> list[str]:
    return ["other devices, or processes, in mid-run", str(len(moves["moves"])),
            "each goes on from the step that was saved; losses agree to rounding"]


def _damage(damage: Counts) -> list[str]:
    outcomes = {name: sum(row[name] for row in damage["kinds"].values()) for name in ("named", "harmless", "silent")}
    return ["damage to a checkpoint", str(sum(sum(row.values()) for row in damage["kinds"].values())),
            f"{outcomes['named']} named, {outcomes['harmless']} of what is not read, {outcomes['silent']} silent"]


def _surroundings(surroundings: Counts) -> list[str]:
    outcomes = [row["outcome"].partition(":")[0] for row in surroundings["trials"].values()]
    counted = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
    return ["damage to what a run stands on", str(len(outcomes)), f"{counted}; all go on to the same end"]


def _memory(memory: Counts) -> list[str]:
    third = round(memory["steps"] / 3, -1)
    grown = [f"{row['growth']:+.2%} from {row['mib']:.0f} MiB, saving every {every} steps"
             for every, row in memory["saving_every"].items() if row]
    return [f"resident memory, steps {third:,.0f} to {memory['steps']:,}", str(len(grown)),
            "; ".join(grown) or "not measured here"]


TOLD = {"kills": _kills, "terms": _terms, "moves": _moves, "damage": _damage, "surroundings": _surroundings,
        "memory": _memory}  # fmt: skip


def kills(counts: Counts) -> str:
    during = counts["during"]
    shares = ", ".join(f"{moment} {during[moment]} times" for moment in MOMENTS if moment in during)
    return "## Kills\n\n" + wrapped(
        f"What the process was doing: {shares}. After each kill every checkpoint in the folder was read whole. A run "
        "saves every 20 steps; what comes after the newest checkpoint is done again.")


def moves(counts: Counts) -> str:
    rows = [["processes x devices of each", "at step", "difference of the next step", "of the next 20"]]
    rows += [[row["to"], str(row["at"]), f"{row['first']:.1e}", f"{row['most']:.1e}"] for row in counts["moves"]]
    said = ("The largest relative difference of any logged scalar from a copy that went on from the same checkpoint on "
            "one device.")
    return f"## Moves\n\n{wrapped(said)}\n\n{aligned(rows)}"


def damage(counts: Counts) -> str:
    rows = [["damage", "named", "unread", "silent", "unclear"]]
    rows += [[kind, *(str(row[name]) for name in ("named", "harmless", "silent", "unclear"))]
             for kind, row in counts["kinds"].items()]
    return (f"## Damage to each of a checkpoint's {counts['files']} files\n\n{DAMAGE.strip()}\n\n{aligned(rows)}")


def surroundings(counts: Counts) -> str:
    rows = [["trial", "outcome", "what it says", "losses"]]
    rows += [[name, row["outcome"], _short(row.get("said", "")), str(len(row["losses"]))]
             for name, row in counts["trials"].items()]
    return f"## By the command itself\n\nAfterwards the same command comes to the same end.\n\n{aligned(rows, words=3)}"


def memory(counts: Counts) -> str:
    del counts  # they are in the summary
    return f"## Memory\n\n{MEMORY}"


SECTIONS = {"kills": kills, "moves": moves, "damage": damage, "surroundings": surroundings, "memory": memory}


def fuzzed(record: Counts) -> str:
    rows = [["what reads it", "inputs", "accepted", "refused", "broken", "slowest, s", "peak, MiB", "limit, MiB"]]
    for name, row in record["entrances"].items():
        broken = row["inputs"] - row["accepted"] - row["refused"]
        rows.append([name, *(f"{value:,}" for value in (row["inputs"], row["accepted"], row["refused"], broken)),
                     str(row["slowest"]), str(row["peak"]), f"{record['limits']['MiB'][name]:,}"])
    return f"## Hostile input\n\n{FUZZ.format(**record['limits']).strip()}\n\n{aligned(rows)}"


def _runs(count: int) -> str:
    return f"{count} run" + "s" * (count != 1)


def _short(said: str) -> str:
    """What is wrong, without the mend and the folders of the trial, whose names are numbers."""
    first = said.removeprefix("error: ").partition("; ")[0]
    return re.sub(r"\b\d{4,}(/[\w.-]+)*", "FOLDER", first).replace("|", "\\|")


if __name__ == "__main__":
    main()
