"""Check the versions in constraints.txt for known vulnerabilities, by a query to osv.dev.

python -m tools.vulnerabilities

Exit code 0: none is known; 1: there are vulnerabilities, one line each, or the query failed. Only package names and
versions are sent.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mai_jax.cli import app
from mai_jax.cli.arguments import Parser
from mai_jax.errors import RunError
from tools.dependencies import CONSTRAINTS, pinned_versions

BATCH, ONE = "https://api.osv.dev/v1/querybatch", "https://api.osv.dev/v1/vulns/"
MAX_RESPONSE = 16 * 2**20  # bytes
TIMEOUT = 30  # seconds

Query = Callable[[str, Any], Any]  # (address, JSON request or None) -> JSON response


def main() -> None:
    """Run the command."""
    parser = Parser(prog="python -m tools.vulnerabilities", description=__doc__)
    parser.add_argument("--constraints", type=Path, default=CONSTRAINTS, metavar="FILE", help="NAME==VERSION lines")
    versions = pinned_versions(parser.parse().constraints)
    lines = find_vulnerabilities(versions, query)
    for line in lines:
        print(line)
    if lines:
        raise RunError(f"{len(lines)} known vulnerabilities in {len(versions)} packages; raise their versions in "
                       "constraints.txt and run the tests")
    print(f"no known vulnerability in {len(versions)} packages")


def find_vulnerabilities(versions: Mapping[str, str], query: Query) -> list[str]:
    """Return one line per vulnerability: package, version, identifiers, fixed versions, summary.

    Raises RunError if a query fails.
    """
    lines: list[str] = []
    pending = [(name, {"package": {"name": name, "ecosystem": "PyPI"}, "version": version})
               for name, version in versions.items()]  # fmt: skip
    while pending:
        responses = query(BATCH, {"queries": [request for _, request in pending]}).get("results", [])
        if len(responses) != len(pending):
            raise RunError(f"{BATCH}: answered {len(responses)} of {len(pending)} queries; try again later")
        next_pages = []
        for (name, request), response in zip(pending, responses, strict=True):
            lines += [_line(name, versions[name], query(ONE + entry["id"], None))
                      for entry in response.get("vulns", [])]
            if token := response.get("next_page_token"):
                next_pages.append((name, request | {"page_token": token}))
        pending = next_pages
    return sorted(lines)


def _line(name: str, version: str, advisory: dict[str, Any]) -> str:
    fixed = [event["fixed"] for affected in advisory.get("affected", []) if _is_package(affected, name)
             for versions in affected.get("ranges", []) if versions.get("type") == "ECOSYSTEM"
             for event in versions.get("events", []) if "fixed" in event]  # fmt: skip
    ids = ", ".join([advisory["id"], *advisory.get("aliases", [])])
    status = f"fixed in {', '.join(fixed)}" if fixed else "not fixed yet"
    summary = " ".join((advisory.get("summary") or advisory.get("details") or "").split())[:120]
    return f"{name} {version}: {ids}; {status}; {summary}"


def _is_package(affected: dict[str, Any], name: str) -> bool:
    return affected.get("package", {}).get("name", "").lower().replace("_", "-") == name.lower().replace("_", "-")


def query(address: str, content: Any) -> Any:
    """Return the JSON response. Raises RunError without network and for an invalid response."""
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            received = response.read(MAX_RESPONSE + 1)
    except (urllib.error.URLError, OSError) as reason:
        why = getattr(reason, "reason", reason)
        raise RunError(f"{address}: the query failed ({why}); nothing was checked, try again with network access"
                       ) from reason
    try:
        if len(received) > MAX_RESPONSE:
            raise ValueError(f"more than {MAX_RESPONSE >> 20} MiB")
        values = json.loads(received)
        if not isinstance(values, dict):
            raise ValueError("no JSON object")
    except (ValueError, RecursionError) as reason:
        raise RunError(f"{address}: sent an invalid response ({reason}); nothing was checked, try again later"
                       ) from reason
    return values


if __name__ == "__main__":
    raise SystemExit(app.run(main))
