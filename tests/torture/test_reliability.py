"""tools/reliability.py: the page contains the recorded counts, and no section without a record."""

import re

from tools import reliability

MACHINE = {"cpu": "a chip", "cores": "2", "system": "Linux", "python": "3.11", "jax": "0.10", "orbax": "0.12"}
DAMAGE = {"files": 3, "losses": ["a: silent"],
          "kinds": {"flipped bit": {"named": 4, "harmless": 5, "silent": 1, "unclear": 0}}}  # fmt: skip
MOVES = {"moves": [{"to": "4 x 1", "at": 161, "first": 6.8e-7, "most": 6.6e-5}], "losses": []}


ARCHIVE = {"kills": 20, "finished": 2, "max_repeated_steps": 21, "during": {}, "losses": []}


def record(**parts):
    return {"command": f"make {' '.join(parts)}", "machine": MACHINE, "parts": parts}


def test_the_page_has_the_counts_of_the_latest_record():
    early = record(moves=MOVES | {"losses": ["lost"] * 77}, damage=DAMAGE)
    page = reliability.page([early, record(moves=MOVES, archive=ARCHIVE)], None)
    assert "make moves damage\nmake moves archive\n" in page and "77" not in page
    assert "4 named, 5 in unread files, 1 silent" in page
    row = next(line for line in page.splitlines() if line.startswith("| damage to a checkpoint"))
    assert [cell.strip() for cell in row.split("|")][-2] == "1"  # the loss
    assert "| 4 x 1" in page and "6.6e-05" in page
    assert re.search(r"photographs of a \.zip.* 20 .*2 runs finished, identical; at most 21 steps repeated", page)


def test_parts_without_a_record_are_omitted():
    page = reliability.page([record(damage=DAMAGE)], None)
    assert not any(word in page for word in ("SIGKILL", "SIGTERM", "## Moves", "## Memory", "## Hostile"))
