"""The result files of an evaluation: records, result with provenance, tables, a picture and a page."""

import csv
import dataclasses
import hashlib
import io
import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mai_jax.batch import Batch
from mai_jax.errors import InputError
from mai_jax.evaluation import evaluator, fid
from mai_jax.evaluation.classical import Fill
from mai_jax.evaluation.dataset import Pair
from mai_jax.evaluation.eval_target import EvalTarget
from mai_jax.evaluation.evaluator import MetricSet, Record
from mai_jax.evaluation.report import html_page, table4
from mai_jax.files import read_file, write_atomically
from mai_jax.visualize import show_hole, side_by_side

log = logging.getLogger(__name__)

PICTURE_ROWS = 6
RECORDS, RESULT = "records.jsonl", "result.json"
FOLDER = "evaluations"  # in a run's folder: one folder per evaluation
RESULT_FIELDS = ("method", "protocol", "pairs_sha256")  # text fields of every result
ENCODING = "utf-8", "surrogatepass"  # file names may contain bytes that are not UTF-8
PAIR_FIELDS = ("id", "hole", "pair", "hole_ratio")  # of a record, the same for all methods


def write(
    target: EvalTarget, output: Path, protocol: str, metric_set: MetricSet, rows: Mapping[str, Fill],
    against: Sequence[Path] = (), *, fid_params: dict[str, Any] | None = None, with_page: bool = False,
    with_csv: bool = False, replace_others: bool = True,
) -> Path:  # fmt: skip
    """Evaluate `target`, write the result files into the folder `output`, log the table, and return the folder.

    `rows` are classical methods for the same pairs, `against` are folders of earlier evaluations of the same pairs.
    With `fid_params` (of `inception.load`) the result includes FID, `with_page` adds the HTML report, `with_csv` the
    records as CSV. All files are written at the end; the same evaluation writes the same bytes. Without
    `replace_others` an evaluation of other pairs in `output` is kept: the files go to a folder beside it, whose name
    ends with the digest of the pairs. Raises InputError if the evaluations cannot be combined.
    """
    evaluations = [_read_under(folder, protocol) for folder in against]
    names = [target.row, *rows, *(result["method"] for _, result, _ in evaluations)]
    if duplicates := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{duplicates.pop()!r} would be the name of two methods in one table; give --name=ANOTHER")
    records = evaluator.evaluate(
        target.dataset, metric_set, target.predict, rows, target.batch_size, best_row=target.best_row)
    if jax.process_index() > 0:
        return output  # all processes have the records, the main one writes them
    for evaluation in evaluations:
        _add_method(records, *evaluation)
    result = {"method": target.row, "protocol": protocol, "about": metric_set.protocol.about, "pairs": len(records),
              "pairs_sha256": _digest(records), "edges": target.edges, **target.stamp}
    if target.num_samples > 1:
        result["best_of_samples"] = target.best_row
    if fid_params is not None:
        result["fid"] = _fid(target, metric_set, fid_params)

    table = table4.table(records, target.edges, target.row)
    changes = tuple(f"{target.row}, {change}." for change in result.get("history", ()))
    table = dataclasses.replace(table, notes=table.notes + changes)
    files = {
        "evaluation.png": _picture(target, metric_set, records),
        "table4.md": table4.markdown(table).encode(),
        "table4.tex": table4.latex(table).encode(),
        RESULT: json.dumps(_strict(result), indent=2).encode() + b"\n",
        RECORDS: "".join(json.dumps(_strict(record)) + "\n" for record in records).encode(),
    }
    if with_csv:
        files["records.csv"] = _csv(records).encode(*ENCODING)
    if with_page:
        files["report.html"] = _page(target, metric_set, result, records).encode("utf-8", "backslashreplace")
    if not replace_others and (output / RESULT).exists() and _read_pairs(output) != result["pairs_sha256"]:
        output = output.with_name(f"{output.name}-{result['pairs_sha256'][:8]}")
    output.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomically(output / name, content)
    log.info("\n%s\nwritten to %s: %s", table4.text(table), output, ", ".join(files))
    return output


def join(folders: Sequence[Path], protocol: str) -> tuple[list[Record], dict[str, Any]]:
    """Return the records of the first evaluation, with the metrics of the others added, and its result.

    Raises InputError if a folder has no evaluation, or if they are not of the same pairs under `protocol`.
    """
    (_, result, records), *others = (_read_under(folder, protocol) for folder in folders)
    for evaluation in others:
        _add_method(records, *evaluation)
    return records, result


def read(folder: Path) -> tuple[Path, dict[str, Any], list[Record]]:
    """Return folder, result and records of an earlier evaluation. Raises InputError if there is none, or on damage."""
    try:
        result = json.loads(read_file(folder / RESULT))
        records = [json.loads(line) for line in read_file(folder / RECORDS).splitlines()]
        _check_types(result, records)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{folder}: holds no evaluation ({error}); give a folder that evaluate.py wrote") from error
    return folder, result, records


def _read_under(folder: Path, protocol: str) -> tuple[Path, dict[str, Any], list[Record]]:
    """Return `read` of the folder, or of the only evaluation of the run in it, which must have the same protocol."""
    if not (folder / RESULT).exists():
        found = [path.parent for path in sorted(folder.glob(f"{FOLDER}/*/{RESULT}"))]
        if len(found) > 1:
            raise InputError(f"{folder}: holds several evaluations ({', '.join(path.name for path in found)}); give "
                             f"the folder of one of them, as in {found[0]}")
        folder = found[0] if found else folder
    folder, result, records = read(folder)
    if result["protocol"] != protocol:
        raise InputError(f"{folder}: was measured under the protocol {result['protocol']}, this evaluation is under "
                         f"{protocol}; evaluate both under the same one")
    return folder, result, records


def _read_pairs(folder: Path) -> str:
    """Return the digest of the pairs of an evaluation, or "" if it cannot be read."""
    try:
        return str(json.loads(read_file(folder / RESULT))["pairs_sha256"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return ""


def _check_types(result: Any, records: list[Any]) -> None:
    """Raise ValueError unless result and records have the fields and types of those that `write` writes."""
    if not isinstance(result, dict) or not all(isinstance(result.get(name), str) for name in RESULT_FIELDS):
        raise ValueError(f"{RESULT} is no result")
    best = result.get("best_of_samples")
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict) or not {*PAIR_FIELDS} <= record.keys():
            raise ValueError(f"line {number} of {RECORDS} is no record")
        if best is not None and not (isinstance(best, str) and isinstance(record.get(best), dict)):
            raise ValueError(f"line {number} of {RECORDS} has no numbers of {best!r}")


def _add_method(records: list[Record], folder: Path, result: dict[str, Any], others: list[Record]) -> None:
    """Add the metrics of an evaluation of the same pairs to `records`, under the name of its method."""
    if not result["pairs_sha256"] == _digest(records) == _digest(others):
        raise InputError(f"{folder}: was measured on other photographs or holes; evaluate both on the same ones")
    for record, other in zip(records, others, strict=True):
        record[result["method"]] = {key: value for key, value in other.items()
                                    if key not in PAIR_FIELDS and not isinstance(value, dict)}
        if "best_of_samples" in result:  # the method is stochastic
            record[result["best_of_samples"]] = other[result["best_of_samples"]]


def _digest(records: list[Record]) -> str:
    lines = "".join(f"{record['id']}\0{record['hole']}\0{record['pair']}\n" for record in records)
    return hashlib.sha256(lines.encode(*ENCODING)).hexdigest()


def _fid(target: EvalTarget, metric_set: MetricSet, params: dict[str, Any]) -> float:
    """Return the FID between all completed predictions and the truths, where each truth counts once."""
    prediction = evaluator.completed(target.dataset, metric_set.protocol, target.predict, target.batch_size)
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "mai_jax"
    truths = fid.cached_statistics(cache, params, lambda: _truths(target))
    return fid.distance(fid.statistics(params, prediction), truths)


def _truths(target: EvalTarget) -> Iterator[evaluator.Truths]:
    for batch in evaluator.batches(_one_per_image(target.dataset), target.batch_size):
        yield np.stack([pair.truth for pair in batch])


def _one_per_image(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield the first pair of each image."""
    ids = set()
    for pair in pairs:
        if pair.id not in ids:
            ids.add(pair.id)
            yield pair


def _csv(records: list[Record]) -> str:
    """Return one row per record; the metrics of another method than the primary are named "method.metric"."""
    rows = []
    for record in map(_strict, records):
        others = {f"{method}.{name}": value for method, metrics in record.items() if isinstance(metrics, dict)
                  for name, value in metrics.items()}
        rows.append({name: value for name, value in record.items() if not isinstance(value, dict)} | others)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _strict(value: Any) -> Any:
    """Return the value for strict JSON, which has no infinity: the PSNR of identical images becomes "inf"."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _picture(target: EvalTarget, metric_set: MetricSet, records: list[Record]) -> bytes:
    """Return a PNG of evenly spaced pairs of the dataset: input, result, truth."""
    indices = np.linspace(0, len(records) - 1, min(PICTURE_ROWS, len(records))).round().astype(int)
    pairs = [target.dataset[int(i)] for i in indices]
    shape = pairs[0].truth.shape
    rows = [(pair, records[i]) for pair, i in zip(pairs, indices, strict=True) if pair.truth.shape == shape]
    pairs = [pair for pair, _ in rows]
    (prediction,) = evaluator.completed(pairs, metric_set.protocol, target.predict, len(pairs))
    truth = np.stack([pair.truth for pair in pairs]).astype(np.float32) / 255
    valid = 1 - np.stack([pair.hole[..., None] for pair in pairs]).astype(np.float32)
    columns = {"input": np.asarray(show_hole(Batch(jnp.asarray(truth), jnp.asarray(valid)))),
               "result": prediction.astype(np.float32) / 255, "truth": truth}
    captions = [f"{pair.id}\n{record['hole_ratio']:.0%} hole" + _psnr_text(record) for pair, record in rows]
    png = io.BytesIO()
    side_by_side(columns, captions).save(png, "png")
    return png.getvalue()


def _page(target: EvalTarget, metric_set: MetricSet, result: dict[str, Any], records: list[Record]) -> str:
    ranks, cases = html_page.choose_cases(records, target.edges), []
    for i, record in enumerate(records):
        if rank := ranks.get(html_page.key(record)):
            pair = target.dataset[i]
            (prediction,) = next(evaluator.completed([pair], metric_set.protocol, target.predict, 1))
            masked = np.where(pair.hole[..., None], np.uint8(255), pair.truth)
            cases.append(html_page.Case(rank, record, masked, prediction, pair.truth))
    stamp = {name: str(value) for name, value in result.items() if name not in ("method", "protocol", "about", "edges")}
    return html_page.page(html_page.Report(
        title=f"{target.row}, {target.dataset_name}", method=target.row, dataset=target.dataset_name,
        protocol=result["protocol"], edges=target.edges, records=records, cases=cases, stamp=stamp,
        definitions=metric_set.protocol.about))


def _psnr_text(record: Record) -> str:
    return f"\n{record['psnr']:.2f} dB" if "psnr" in record else ""
