"""Known vulnerabilities of the exact versions in constraints.txt, by osv.dev.

python docs/vulnerabilities.py

Exit code 0: none is known; 1: some are, each in one line, or osv.dev could not be asked. It is sent names and versions,
and nothing of this machine.
"""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mai_jax.subcommands import Parser, run
from mai_jax.types import RunError

sys.path.insert(0, str(Path(__file__).parent))

from dependencies import CONSTRAINTS, constrained

BATCH, ONE = "https://api.osv.dev/v1/querybatch", "https://api.osv.dev/v1/vulns/"
MOST = 16 * 2**20  # bytes of an answer
SECONDS = 30

Ask = Callable[[str, Any], Any]  # (address, what is sent as JSON or None) -> the JSON of the answer


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--constraints", type=Path, default=CONSTRAINTS, metavar="FILE")
    versions = constrained(parser.parse_args().constraints)
    found = known(versions, asked)
    for line in found:
        print(line)
    if found:
        raise RunError(f"{len(found)} known vulnerabilities in {len(versions)} packages; raise their versions in "
                       "constraints.txt and run the tests")
    print(f"no known vulnerability in {len(versions)} packages")


def known(versions: Mapping[str, str], ask: Ask) -> list[str]:
    """One line for each vulnerability: package, version, name, since when it is mended, what it is. Raises RunError."""
    found: list[str] = []
    waiting = [(name, {"package": {"name": name, "ecosystem": "PyPI"}, "version": version})
               for name, version in versions.items()]  # fmt: skip
    while waiting:
        answers = ask(BATCH, {"queries": [query for _, query in waiting]}).get("results", [])
        if len(answers) != len(waiting):
            raise RunError(f"{BATCH}: answered {len(answers)} of {len(waiting)} questions; try again later")
        further = []
        for (name, query), answer in zip(waiting, answers, strict=True):
            found += [_line(name, versions[name], ask(ONE + entry["id"], None)) for entry in answer.get("vulns", [])]
            if token := answer.get("next_page_token"):
                further.append((name, query | {"page_token": token}))
        waiting = further
    return sorted(found)


def _line(name: str, version: str, told: dict[str, Any]) -> str:
    mended = [event["fixed"] for affected in told.get("affected", []) if _same(affected, name)
              for stretch in affected.get("ranges", []) if stretch.get("type") == "ECOSYSTEM"
              for event in stretch.get("events", []) if "fixed" in event]  # fmt: skip
    names = ", ".join([told["id"], *told.get("aliases", [])])
    since = f"mended in {', '.join(mended)}" if mended else "not mended yet"
    summary = " ".join((told.get("summary") or told.get("details") or "").split())[:120]
    return f"{name} {version}: {names}; {since}; {summary}"


def _same(affected: dict[str, Any], name: str) -> bool:
    return affected.get("package", {}).get("name", "").lower().replace("_", "-") == name.lower().replace("_", "-")


def asked(address: str, sent: Any) -> Any:
    """The JSON of the answer. Raises RunError without network, and for an answer that is none."""
    data = None if sent is None else json.dumps(sent).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            content = answer.read(MOST + 1)
    except (urllib.error.URLError, OSError) as reason:
        why = getattr(reason, "reason", reason)
        raise RunError(f"{address}: cannot be asked ({why}); nothing was checked, try again where there is network"
                       ) from reason
    try:
        if len(content) > MOST:
            raise ValueError(f"more than {MOST >> 20} MiB")
        found = json.loads(content)
        if not isinstance(found, dict):
            raise ValueError("no fields")
    except (ValueError, RecursionError) as reason:
        raise RunError(f"{address}: gave an answer that is none ({reason}); nothing was checked, try again later"
                       ) from reason
    return found


if __name__ == "__main__":
    raise SystemExit(run(main))
