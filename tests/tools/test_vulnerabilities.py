"""tools/vulnerabilities.py on synthetic responses in the format of osv.dev, without network access."""

import io
import sys
import urllib.error

import pytest

from mai_jax.cli import app
from mai_jax.errors import RunError
from tools import vulnerabilities

ADVISORY = {
    "id": "GHSA-aaaa", "aliases": ["CVE-2026-1"], "summary": "Reads\n too far", "modified": "2026-01-01T00:00:00Z",
    "affected": [
        {"package": {"ecosystem": "PyPI", "name": "some-thing"}, "ranges": [
            {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.5"}]},
            {"type": "GIT", "events": [{"introduced": "0"}, {"fixed": "0123abcd"}]}]},
        {"package": {"ecosystem": "npm", "name": "other"}, "ranges": [
            {"type": "ECOSYSTEM", "events": [{"fixed": "9"}]}]}],
}  # fmt: skip
PLAIN = {"id": "PYSEC-1", "details": "Without a summary", "affected": []}
VERSIONS = {"fine": "1.0", "some_thing": "1.2"}
LINES = ["some_thing 1.2: GHSA-aaaa, CVE-2026-1; fixed in 1.5; Reads too far",
         "some_thing 1.2: PYSEC-1; not fixed yet; Without a summary"]


def respond(address, request):
    """Return the response to a query; the second advisory is on a second page."""
    if address != vulnerabilities.BATCH:
        return {"GHSA-aaaa": ADVISORY, "PYSEC-1": PLAIN}[address.removeprefix(vulnerabilities.ONE)]
    if "page_token" in request["queries"][-1]:
        assert request["queries"] == [{"package": {"name": "some_thing", "ecosystem": "PyPI"}, "version": "1.2",
                                    "page_token": "more"}]
        return {"results": [{"vulns": [{"id": "PYSEC-1"}]}]}
    assert [query["version"] for query in request["queries"]] == ["1.0", "1.2"]
    return {"results": [{}, {"vulns": [{"id": "GHSA-aaaa"}], "next_page_token": "more"}]}


def test_each_vulnerability_is_a_line():
    assert vulnerabilities.find_vulnerabilities(VERSIONS, respond) == LINES


def test_an_incomplete_response_is_an_error():
    with pytest.raises(RunError, match="answered 0 of 2 queries"):
        vulnerabilities.find_vulnerabilities(VERSIONS, lambda address, request: {"results": []})


@pytest.mark.parametrize(("names", "code"), [("fine==1.0\n", 0), ("fine==1.0\nsome_thing==1.2\n", 1)])
def test_the_exit_code_is_1_if_there_are_vulnerabilities(tmp_path, monkeypatch, capsys, names, code):
    (tmp_path / "c.txt").write_text(names)
    monkeypatch.setattr(sys, "argv", ["vulnerabilities.py", f"--constraints={tmp_path / 'c.txt'}"])
    query = respond if code else lambda address, request: {"results": [{}]}
    monkeypatch.setattr(vulnerabilities, "query", query)
    assert app.run(vulnerabilities.main) == code
    output = capsys.readouterr()
    if code:
        assert LINES[0] in output.out and "2 known vulnerabilities in 2" in output.err
    else:
        assert "no known" in output.out


@pytest.mark.parametrize(("response", "message"), [
    (urllib.error.URLError(OSError(-2, "Name or service not known")), "query failed .*Name or service.*network"),
    (TimeoutError("timed out"), "query failed"),
    (urllib.error.HTTPError("a", 503, "Busy", {}, None), "query failed .*Busy"),
    (b"<html>", "sent an invalid response"), (b"[]", "no JSON object"), (b"[" * 100_000, "an invalid response"),
])
def test_a_failed_query_is_an_error(monkeypatch, response, message):
    def urlopen(request, timeout):
        assert request.full_url == vulnerabilities.BATCH and timeout > 0
        if isinstance(response, bytes):
            return io.BytesIO(response)
        raise response

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    with pytest.raises(RunError, match=message) as error:
        vulnerabilities.query(vulnerabilities.BATCH, {"queries": []})
    assert "nothing was checked" in str(error.value)
