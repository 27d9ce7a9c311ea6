"""What an evaluation leaves behind: records, the result with its stamp, the tables, a picture, a page."""

import hashlib
import io
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mai_jax.data.folder import read_file
from mai_jax.evaluation import fid, html_report, runner, table4
from mai_jax.evaluation.classical import Fill
from mai_jax.evaluation.runner import Judge, Record
from mai_jax.evaluation.subject import Subject
from mai_jax.files import write_whole
from mai_jax.types import Batch, InputError
from mai_jax.visualize import show_hole, side_by_side

log = logging.getLogger(__name__)

ROWS = 6  # of the picture
RECORDS, RESULT = "records.jsonl", "result.json"
WORDS = ("method", "protocol", "pairs_sha256")  # what every result says
ANY = "utf-8", "surrogatepass"  # names of files may hold bytes that are no characters
PLACE = ("id", "hole", "pair", "hole_ratio")  # what a record says of its pair


def write(
    subject: Subject, output: Path, protocol: str, judge: Judge, rows: Mapping[str, Fill],
    against: Sequence[Path] = (), *, fid_params: dict[str, Any] | None = None, with_page: bool = False,
) -> None:  # fmt: skip
    """Measures `subject` and writes it down in `output`; says the table.

    `rows` are methods that fill the same holes, `against` folders of earlier evaluations on the same pairs.
    `fid_params` (`inception.load`) asks for FID, `with_page` for the HTML report.
    Raises InputError; nothing is written before the end, and the same evaluation writes the same bytes.
    """
    earlier = [_earlier(folder, protocol) for folder in against]
    names = [subject.row, *rows, *(result["method"] for _, result, _ in earlier)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{twice.pop()!r} would be the name of two methods in one table; give --name=ANOTHER")
    records = runner.measure(subject.pairs, judge, subject.paint, rows, subject.batch_size, best_row=subject.best_row)
    if jax.process_index() > 0:
        return  # all have the records, one writes them down
    for evaluation in earlier:
        _join(records, *evaluation)
    result = {"method": subject.row, "protocol": protocol, "about": judge.protocol.about, "pairs": len(records),
              "pairs_sha256": _digest(records), "edges": subject.edges, **subject.stamp}
    if subject.draws > 1:
        result["best_of_draws"] = subject.best_row
    if fid_params is not None:
        result["fid"] = _fid(subject, judge, fid_params)

    table = table4.table(records, subject.edges, subject.row)
    files = {
        "evaluation.png": _picture(subject, judge, records),
        "table4.md": table4.markdown(table).encode(),
        "table4.tex": table4.latex(table).encode(),
        RESULT: json.dumps(_strict(result), indent=2).encode() + b"\n",
        RECORDS: "".join(json.dumps(_strict(record)) + "\n" for record in records).encode(),
    }
    if with_page:
        files["report.html"] = _page(subject, judge, result, records).encode("utf-8", "backslashreplace")
    output.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(output / name, content)
    log.info("\n%s\nwritten to %s: %s", table4.text(table), output, ", ".join(files))


def join(folders: Sequence[Path], protocol: str) -> tuple[list[Record], dict[str, Any]]:
    """The records of the first evaluation, to which those of the others on the same pairs are added, and its result.

    Raises InputError.
    """
    (_, result, records), *others = (_earlier(folder, protocol) for folder in folders)
    for evaluation in others:
        _join(records, *evaluation)
    return records, result


def _earlier(folder: Path, protocol: str) -> tuple[Path, dict[str, Any], list[Record]]:
    """The folder, result and records of an earlier evaluation, which must be under the same protocol."""
    try:
        result = json.loads(read_file(folder / RESULT))
        records = [json.loads(line) for line in read_file(folder / RECORDS).splitlines()]
        _check_kinds(result, records)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{folder}: holds no evaluation ({error}); name a folder that evaluate.py wrote") from error
    if result["protocol"] != protocol:
        raise InputError(f"{folder}: was measured under the protocol {result['protocol']}, this evaluation is under "
                         f"{protocol}; evaluate both under one")
    return folder, result, records


def _check_kinds(result: Any, records: list[Any]) -> None:
    """Raises ValueError unless these are what `write` wrote."""
    if not isinstance(result, dict) or not all(isinstance(result.get(word), str) for word in WORDS):
        raise ValueError(f"{RESULT} is no result")
    best = result.get("best_of_draws")
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict) or not {*PLACE} <= record.keys():
            raise ValueError(f"line {number} of {RECORDS} is no record")
        if best is not None and not (isinstance(best, str) and isinstance(record.get(best), dict)):
            raise ValueError(f"line {number} of {RECORDS} has no numbers of {best!r}")


def _join(records: list[Record], folder: Path, result: dict[str, Any], others: list[Record]) -> None:
    """Adds the numbers of an earlier evaluation, which must be on the same pairs, under its method's name."""
    if not result["pairs_sha256"] == _digest(records) == _digest(others):
        raise InputError(f"{folder}: was measured on other photographs or holes; evaluate both on the same ones")
    for record, other in zip(records, others, strict=True):
        record[result["method"]] = {key: value for key, value in other.items()
                                    if key not in PLACE and not isinstance(value, dict)}
        if "best_of_draws" in result:  # it paints by lot
            record[result["best_of_draws"]] = other[result["best_of_draws"]]


def _digest(records: list[Record]) -> str:
    return hashlib.sha256("".join(f"{r['id']}\0{r['hole']}\0{r['pair']}\n" for r in records).encode(*ANY)).hexdigest()


def _fid(subject: Subject, judge: Judge, params: dict[str, Any]) -> float:
    """FID between all painted photographs and the truths, each truth counted once."""
    painted = runner.completed(subject.pairs, judge.protocol, subject.paint, subject.batch_size)
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "mai_jax"
    truths = fid.cached_statistics(cache, params, lambda: _truths(subject))
    return fid.distance(fid.statistics(params, painted), truths)


def _truths(subject: Subject) -> Iterator[runner.Truths]:
    seen: set[str] = set()
    once = (pair for pair in subject.pairs if pair.id not in seen and not seen.add(pair.id))
    for batch in runner.batches(once, subject.batch_size):
        yield np.stack([pair.truth for pair in batch])


def _strict(value: Any) -> Any:
    """JSON has no infinity: the PSNR of an exact copy is written as "inf"."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _picture(subject: Subject, judge: Judge, records: list[Record]) -> bytes:
    """Pairs at even distances in the list: input, result, truth."""
    wanted = np.linspace(0, len(records) - 1, min(ROWS, len(records))).round().astype(int)
    pairs = [subject.pairs[int(i)] for i in wanted]
    shape = pairs[0].truth.shape
    chosen = [(pair, records[i]) for pair, i in zip(pairs, wanted, strict=True) if pair.truth.shape == shape]
    pairs = [pair for pair, _ in chosen]
    (painted,) = runner.completed(pairs, judge.protocol, subject.paint, len(pairs))
    truth = np.stack([pair.truth for pair in pairs]).astype(np.float32) / 255
    known = 1 - np.stack([pair.hole[..., None] for pair in pairs]).astype(np.float32)
    columns = {"input": np.asarray(show_hole(Batch(truth, known))),
               "result": painted.astype(np.float32) / 255, "truth": truth}
    captions = [f"{pair.id}\n{record['hole_ratio']:.0%} hole" + _decibels(record) for pair, record in chosen]
    png = io.BytesIO()
    side_by_side(columns, captions).save(png, "png")
    return png.getvalue()


def _page(subject: Subject, judge: Judge, result: dict[str, Any], records: list[Record]) -> str:
    ranks, cases = html_report.choose_cases(records, subject.edges), []
    for i, record in enumerate(records):
        if rank := ranks.get(html_report.key(record)):
            pair = subject.pairs[i]
            (painted,) = next(runner.completed([pair], judge.protocol, subject.paint, 1))
            given = np.where(pair.hole[..., None], np.uint8(255), pair.truth)
            cases.append(html_report.Case(rank, record, given, painted, pair.truth))
    stamp = {name: str(value) for name, value in result.items() if name not in ("method", "protocol", "about", "edges")}
    return html_report.page(html_report.Report(
        title=f"{subject.row}, {subject.dataset}", method=subject.row, dataset=subject.dataset,
        protocol=result["protocol"], edges=subject.edges, records=records, cases=cases, stamp=stamp,
        definitions=judge.protocol.about))


def _decibels(record: Record) -> str:
    return f"\n{record['psnr']:.2f} dB" if "psnr" in record else ""
