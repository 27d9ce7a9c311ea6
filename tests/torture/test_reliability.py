"""docs/reliability.py: the page tells what was counted, and nothing of what was not."""

import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location("reliability", Path(__file__).parents[2] / "docs/reliability.py")
reliability = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reliability)

MACHINE = {"cpu": "a chip", "cores": "2", "system": "Linux", "python": "3.11", "jax": "0.10", "orbax": "0.12"}
DAMAGE = {"files": 3, "losses": ["a: silent"],
          "kinds": {"flipped bit": {"named": 4, "harmless": 5, "silent": 1, "unclear": 0}}}  # fmt: skip
MOVES = {"moves": [{"to": "4 x 1", "at": 161, "first": 6.8e-7, "most": 6.6e-5}], "losses": []}


def record(**parts):
    return {"command": f"make {' '.join(parts)}", "machine": MACHINE, "parts": parts}


def test_what_was_counted_is_told_and_a_later_record_counts():
    early = record(moves=MOVES | {"losses": ["lost"] * 77}, damage=DAMAGE)
    page = reliability.page([early, record(moves=MOVES)], None)
    assert "make moves damage\nmake moves\n" in page and "77" not in page
    assert "4 named, 5 of what is not read, 1 silent" in page
    row = next(line for line in page.splitlines() if line.startswith("| damage to a checkpoint"))
    assert [cell.strip() for cell in row.split("|")][-2] == "1"  # the loss
    assert "| 4 x 1" in page and "6.6e-05" in page


def test_what_was_not_tried_has_no_place():
    page = reliability.page([record(damage=DAMAGE)], None)
    assert not any(word in page for word in ("SIGKILL", "SIGTERM", "## Moves", "## Memory", "## Hostile"))
