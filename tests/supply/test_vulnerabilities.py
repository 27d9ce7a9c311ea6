"""docs/vulnerabilities.py on answers in the form of osv.dev's, made by hand: the tests ask nobody."""

import importlib.util
import io
import sys
import urllib.error
from pathlib import Path

import pytest

from mai_jax import subcommands
from mai_jax.types import RunError

SCRIPT = Path(__file__).parents[2] / "docs" / "vulnerabilities.py"
SPEC = importlib.util.spec_from_file_location("vulnerabilities", SCRIPT)
vulnerabilities = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(vulnerabilities)

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
LINES = ["some_thing 1.2: GHSA-aaaa, CVE-2026-1; mended in 1.5; Reads too far",
         "some_thing 1.2: PYSEC-1; not mended yet; Without a summary"]


def answering(address, sent):
    """The second advisory is on a second page."""
    if address != vulnerabilities.BATCH:
        return {"GHSA-aaaa": ADVISORY, "PYSEC-1": PLAIN}[address.removeprefix(vulnerabilities.ONE)]
    if "page_token" in sent["queries"][-1]:
        assert sent["queries"] == [{"package": {"name": "some_thing", "ecosystem": "PyPI"}, "version": "1.2",
                                    "page_token": "more"}]
        return {"results": [{"vulns": [{"id": "PYSEC-1"}]}]}
    assert [query["version"] for query in sent["queries"]] == ["1.0", "1.2"]
    return {"results": [{}, {"vulns": [{"id": "GHSA-aaaa"}], "next_page_token": "more"}]}


def test_each_vulnerability_is_a_line():
    assert vulnerabilities.known(VERSIONS, answering) == LINES


def test_an_answer_to_other_questions_is_refused():
    with pytest.raises(RunError, match="answered 0 of 2 questions"):
        vulnerabilities.known(VERSIONS, lambda address, sent: {"results": []})


@pytest.mark.parametrize(("names", "code"), [("fine==1.0\n", 0), ("fine==1.0\nsome_thing==1.2\n", 1)])
def test_the_exit_code_says_whether_there_are_any(tmp_path, monkeypatch, capsys, names, code):
    (tmp_path / "c.txt").write_text(names)
    monkeypatch.setattr(sys, "argv", ["vulnerabilities.py", f"--constraints={tmp_path / 'c.txt'}"])
    answers = answering if code else lambda address, sent: {"results": [{}]}
    monkeypatch.setattr(vulnerabilities, "asked", answers)
    assert subcommands.run(vulnerabilities.main) == code
    said = capsys.readouterr()
    assert (LINES[0] in said.out and "2 known vulnerabilities in 2" in said.err) if code else "no known" in said.out


@pytest.mark.parametrize(("answer", "said"), [
    (urllib.error.URLError(OSError(-2, "Name or service not known")), "cannot be asked .*Name or service.*network"),
    (TimeoutError("timed out"), "cannot be asked"),
    (urllib.error.HTTPError("a", 503, "Busy", {}, None), "cannot be asked .*Busy"),
    (b"<html>", "gave an answer that is none"), (b"[]", "no fields"), (b"[" * 100_000, "an answer that is none"),
])
def test_without_an_answer_nothing_counts_as_checked(monkeypatch, answer, said):
    def urlopen(request, timeout):
        assert request.full_url == vulnerabilities.BATCH and timeout > 0
        if isinstance(answer, bytes):
            return io.BytesIO(answer)
        raise answer

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    with pytest.raises(RunError, match=said) as error:
        vulnerabilities.asked(vulnerabilities.BATCH, {"queries": []})
    assert "nothing was checked" in str(error.value)
