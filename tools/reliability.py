"""Write docs/reliability.md from the records of `make torture`.

python -m tools.reliability --runs runs/torture_runs.json --fuzz runs/torture_fuzz.json
"""

import argparse
import json
import re
import statistics
from pathlib import Path
from typing import Any

from mai_jax.compare.page import markdown_table, wrap
from mai_jax.files import write_atomically

DOCS = Path(__file__).parents[1] / "docs"
Counts = dict[str, Any]
INTRODUCTION = """\
# Reliability

Written by `python -m tools.reliability` from the records of these commands, which fail with exit code 1 on any loss:

```
{commands}
```
"""
ABOUT = """\
The runs are of `python train.py` with a small network. {machine}. "Identical" means: the CRC-32 of every array of the
last checkpoint and every logged scalar are equal to those of an undisturbed run.
"""
DAMAGE = """\
"Named": the start fails with exit code 1 and one line that names the folder and the command that moves it away, and the
previous checkpoint is intact. "Unread": the file is not needed, and everything that is read is bit-identical. "Silent"
would be a different state without a message; "unclear" a traceback, or more than one line.
"""
FUZZ = """\
Every input is a valid file that was damaged or rewritten. "Refused": one clear line. "Broken" would be a crash, a hang
of more than {seconds:g} s, an unclear message, memory above the limit, or anything executed or written elsewhere.
"""
MEMORY = """\
The growth is caused by saving: TensorStore's `KvStore.Spec.to_json` never frees the 242 bytes that it returns (in
0.1.72 to 0.1.86, the newest). Orbax calls it, and similar JSON conversions, for every array of every checkpoint, which
leaks about 0.8 KB each time. MAI has 234 arrays, so its longest run, three million steps with a checkpoint every
thousand, leaks about 600 MB.
"""
MOMENTS = ("starting", "preparing its first step", "stepping", "saving")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, nargs="+",
                        help="records of tests.torture.runs; if several contain the same part, the last one is used")
    parser.add_argument("--fuzz", type=Path, help="record of tests.torture.fuzz")
    parser.add_argument("--output", type=Path, default=DOCS / "reliability.md")
    given = parser.parse_args()
    runs = [json.loads(path.read_text()) for path in given.runs]
    fuzz = json.loads(given.fuzz.read_text()) if given.fuzz else None
    write_atomically(given.output, page(runs, fuzz).encode())


def page(runs: list[Counts], fuzz: Counts | None) -> str:
    """Return the page. Parts without a record are omitted."""
    parts = {name: counts for record in runs for name, counts in record["parts"].items()}
    machine = runs[-1]["machine"]
    about = (f"{machine['cores']} cores ({machine['cpu']}), {machine['system']}, Python {machine['python']}, JAX "
             f"{machine['jax']}, Orbax {machine['orbax']}")
    commands = "\n".join(record["command"] for record in (*runs, fuzz) if record)
    sections = [INTRODUCTION.format(commands=commands), wrap(ABOUT.format(machine=about)), summary(parts, fuzz)]
    for name, section in SECTIONS.items():
        if name in parts:
            sections.append(section(parts[name]))
    if fuzz:
        sections.append(fuzzing(fuzz))
    return "\n\n".join(section.strip() for section in sections) + "\n"


def summary(parts: dict[str, Counts], fuzz: Counts | None) -> str:
    """Return the table with one row per part."""
    rows = [["test", "count", "outcome", "losses"]]
    for name, row in SUMMARY_ROWS.items():
        if name in parts:
            rows.append([*row(parts[name]), str(len(parts[name]["losses"]))])
    if fuzz:
        rows.append(["hostile input", f"{fuzz['inputs']:,}", "accepted, or refused in one line", str(fuzz["findings"])])
    return markdown_table(rows, text_columns=3)


def _kills(kills: Counts) -> list[str]:
    return ["SIGKILL at any moment", str(kills["kills"]),
            f"{_runs(kills['finished'])} finished, identical; at most {kills['max_repeated_steps']} steps repeated"]


def _archive(kills: Counts) -> list[str]:
    return ["SIGKILL, photographs of a .zip, an unreadable one skipped", *_kills(kills)[1:]]


def _terms(terms: Counts) -> list[str]:
    if not terms["seconds"]:
        return ["SIGTERM", "0", ""]
    return ["SIGTERM", str(terms["terms"]),
            f"{terms['exit_0']} exit code 0, {terms['saved_last']} saved their last step, "
            f"{statistics.median(terms['seconds']):.1f} s from signal to end, {max(terms['seconds']):.1f} s at most; "
            f"{_runs(terms['finished'])} finished, identical"]


def _moves(moves: Counts) -> list[str]:
    return ["change of devices or processes during a run", str(len(moves["moves"])),
            "each resumes from the saved step; losses agree up to rounding"]


def _damage(damage: Counts) -> list[str]:
    outcomes = {name: sum(row[name] for row in damage["kinds"].values()) for name in ("named", "harmless", "silent")}
    return ["damage to a checkpoint", str(sum(sum(row.values()) for row in damage["kinds"].values())),
            f"{outcomes['named']} named, {outcomes['harmless']} in unread files, {outcomes['silent']} silent"]


def _environment(environment: Counts) -> list[str]:
    outcomes = [row["outcome"].partition(":")[0] for row in environment["trials"].values()]
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
    return ["damage to the environment of a run", str(len(outcomes)), f"{counts}; all resume and end identically"]


def _memory(memory: Counts) -> list[str]:
    third = round(memory["steps"] / 3, -1)
    growth = [f"{row['growth']:+.2%} from {row['mib']:.0f} MiB, saving every {every} steps"
              for every, row in memory["saving_every"].items() if row]
    return [f"resident memory, steps {third:,.0f} to {memory['steps']:,}", str(len(growth)),
            "; ".join(growth) or "not measured here"]


SUMMARY_ROWS = {"kills": _kills, "archive": _archive, "terms": _terms, "moves": _moves, "damage": _damage,
                "environment": _environment, "memory": _memory}  # fmt: skip


def kills(counts: Counts) -> str:
    """Return the section on SIGKILL."""
    during = counts["during"]
    shares = ", ".join(f"{moment} {during[moment]} times" for moment in MOMENTS if moment in during)
    return "## Kills\n\n" + wrap(
        f"State of the process: {shares}. After each kill every checkpoint in the folder was read completely. A run "
        "saves every 20 steps; the steps after the newest checkpoint are repeated.")


def moves(counts: Counts) -> str:
    """Return the section on changes of devices and processes."""
    rows = [["processes x devices per process", "at step", "difference of the next step", "of the next 20"]]
    rows += [[row["to"], str(row["at"]), f"{row['first']:.1e}", f"{row['most']:.1e}"] for row in counts["moves"]]
    about = ("The largest relative difference of any logged scalar to a copy that resumed from the same checkpoint on "
             "one device.")
    return f"## Moves\n\n{wrap(about)}\n\n{markdown_table(rows)}"


def damage(counts: Counts) -> str:
    """Return the section on damaged checkpoints."""
    rows = [["damage", "named", "unread", "silent", "unclear"]]
    rows += [[kind, *(str(row[name]) for name in ("named", "harmless", "silent", "unclear"))]
             for kind, row in counts["kinds"].items()]
    title = f"## Damage to each of the {counts['files']} files of a checkpoint"
    return f"{title}\n\n{DAMAGE.strip()}\n\n{markdown_table(rows)}"


def environment(counts: Counts) -> str:
    """Return the section on damage to the environment of a run."""
    rows = [["trial", "outcome", "message", "losses"]]
    rows += [[name, row["outcome"], _short(row.get("message", "")), str(len(row["losses"]))]
             for name, row in counts["trials"].items()]
    table = markdown_table(rows, text_columns=3)
    return f"## Damage to the environment\n\nAfterwards the same command resumes and ends identically.\n\n{table}"


def memory(counts: Counts) -> str:
    """Return the section on memory."""
    del counts  # only the summary shows them
    return f"## Memory\n\n{MEMORY}"


SECTIONS = {"kills": kills, "moves": moves, "damage": damage, "environment": environment, "memory": memory}


def fuzzing(record: Counts) -> str:
    """Return the section on hostile input."""
    rows = [["reader", "inputs", "accepted", "refused", "broken", "slowest, s", "peak, MiB", "limit, MiB"]]
    for name, row in record["entry_points"].items():
        broken = row["inputs"] - row["accepted"] - row["refused"]
        rows.append([name, *(f"{value:,}" for value in (row["inputs"], row["accepted"], row["refused"], broken)),
                     str(row["slowest"]), str(row["peak"]), f"{record['limits']['MiB'][name]:,}"])
    return f"## Hostile input\n\n{FUZZ.format(**record['limits']).strip()}\n\n{markdown_table(rows)}"


def _runs(count: int) -> str:
    return f"{count} run" + "s" * (count != 1)


def _short(message: str) -> str:
    """Return the problem in a message, as code, without the advice and the numbered folders of the trial."""
    first = message.removeprefix("error: ").partition("; ")[0]
    short = re.sub(r"\b\d{4,}(/[\w.-]+)*", "FOLDER", first).replace("|", "\\|")
    return f"`{short}`" if short else ""


if __name__ == "__main__":
    main()
