"""Evaluation of a dataset on all devices and processes: one record per pair of image and hole."""

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from statistics import fmean
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, UInt8
from tqdm import tqdm

from mai_jax import metrics
from mai_jax.evaluation.classical import Fill, fill_many
from mai_jax.evaluation.dataset import EvalDataset, Pair
from mai_jax.evaluation.protocols import Protocol
from mai_jax.nn import lpips

Record = dict[str, Any]
Truths = UInt8[np.ndarray, "b h w 3"]
Holes = Bool[np.ndarray, "b h w"]
Prediction = Truths | Float[np.ndarray | Array, "b h w 3"]
Samples = UInt8[np.ndarray, "n b h w 3"] | Float[np.ndarray | Array, "n b h w 3"]
Predict = Callable[[Truths, Holes], Samples]  # one or several raw predictions, not completed
Shard = Callable[[Callable[..., Any]], Callable[..., Any]]

DIGITS = 6  # decimals in a record: more than a table shows, few enough to be equal on all machines


class MetricSet(NamedTuple):
    """The metrics of a protocol and, if `lpips` holds its parameters (of `lpips.load` or `from_package`), LPIPS."""

    protocol: Protocol
    lpips: dict[str, Any] | None = None


def evaluate(
    pairs: EvalDataset, metric_set: MetricSet, predict: Predict | None, rows: Mapping[str, Fill], batch_size: int,
    devices: list[jax.Device] | None = None, best_row: str = "best",
) -> list[Record]:  # fmt: skip
    """Return one record per pair, in the order of `pairs`.

    A record holds `id`, `hole`, `pair` (a digest of the pixels), `hole_ratio`, the metrics of `metric_set`, and under
    each name in `rows` the metrics of that classical method. With several samples per hole the metrics are means over
    the samples, and under `best_row` are the metrics of the best sample, selected against the ground truth by
    `metrics.sample_score`.

    Predictions of the pairs are measured as they are; pairs without one are predicted by `predict`, which may be None
    otherwise. Each process evaluates its share and returns all records. On machines of one kind the records do not
    depend on the number of devices and processes.
    """
    devices = jax.local_devices() if devices is None else devices
    size = batch_size * len(devices)  # `batch_size` per device, so that the program is the same for any number of them
    shard = _shard_over(devices)
    # Processes get whole batches, so that the batch of a pair does not depend on the number of processes.
    blocks = [range(len(pairs))[start : start + size] for start in range(0, len(pairs), size)]
    share = list(itertools.chain(*blocks[jax.process_index() :: jax.process_count()]))
    records: list[Record] = []
    with tqdm(total=len(share), desc="evaluating", unit="hole") as bar:
        for batch in batches(map(pairs.__getitem__, share), size):
            truth, hole, samples = _stack(batch, size, predict)
            by_sample = [_compute_metrics(metric_set, prediction, truth, hole, shard) for prediction in samples]
            best = _best_samples(metric_set, samples, truth, hole, shard)
            baselines = {name: _compute_metrics(metric_set, fill_many(fill, truth, hole), truth, hole, shard)
                         for name, fill in rows.items()}
            for i, pair in enumerate(batch):
                ids = {"id": pair.id, "hole": pair.hole_id, "pair": pair.digest}
                means = _means([of_batch[i] for of_batch in by_sample])
                record = ids | {"hole_ratio": float(pair.hole.mean())} | means
                if len(samples) > 1:
                    record[best_row] = by_sample[best[i]][i]
                records.append(record | {name: of_batch[i] for name, of_batch in baselines.items()})
            bar.update(len(batch))
    return _gather(records, blocks)


def completed(pairs: Iterable[Pair], protocol: Protocol, predict: Predict | None, batch_size: int) -> Iterator[Truths]:
    """Yield batches of the images that the protocol compares with the truths, in the order of the pairs.

    With several samples per hole, yield the first.
    """
    for batch in batches(pairs, batch_size):
        truth, hole, samples = _stack(batch, batch_size, predict)
        yield np.asarray(protocol.compared(samples[0], truth, hole))[: len(batch)]


def batches(pairs: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    """Yield lists of up to `size` consecutive pairs with equal image shapes."""
    batch: list[Pair] = []
    for pair in pairs:
        if batch and (len(batch) == size or pair.truth.shape != batch[0].truth.shape):
            yield batch
            batch = []
        batch.append(pair)
    if batch:
        yield batch


def _stack(batch: list[Pair], size: int, predict: Predict | None) -> tuple[Truths, Holes, Samples]:
    """Return truths, holes and predictions, padded to `size` with the last pair, so that all batches have one shape."""
    padded = batch + [batch[-1]] * (size - len(batch))
    truth, hole = np.stack([pair.truth for pair in padded]), np.stack([pair.hole for pair in padded])
    given = [pair.prediction for pair in padded if pair.prediction is not None]
    if given:
        return truth, hole, np.stack(given)[None]
    assert predict is not None  # only pairs with predictions may come without it
    return truth, hole, predict(truth, hole)


def _compute_metrics(
    metric_set: MetricSet, prediction: Prediction, truth: Truths, hole: Holes, shard: Shard
) -> list[dict[str, float]]:
    columns = shard(metric_set.protocol.measure)(prediction, truth, hole)
    if metric_set.lpips is not None:
        compared = metric_set.protocol.compared(prediction, truth, hole)
        images = (image.astype(np.float32) / 255 for image in (compared, truth))
        name = lpips.BACKBONES[lpips.backbone(metric_set.lpips)].metric
        columns[name] = shard(lpips.distance)(*images, replicated=metric_set.lpips)
    columns = {name: np.asarray(column).astype(float).round(DIGITS).tolist() for name, column in columns.items()}
    # Metrics of the hole are undefined for an image without a hole.
    return [{name: column[i] for name, column in columns.items() if hole[i].any() or not name.startswith("hole_")}
            for i in range(len(truth))]


def _means(by_sample: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(fmean(sample[name] for sample in by_sample), DIGITS) for name in by_sample[0]}


def _best_samples(
    metric_set: MetricSet, samples: Samples, truth: Truths, hole: Holes, shard: Shard
) -> Int[np.ndarray, "b"]:
    """Return the index of the best sample of each hole by `metrics.sample_score`."""
    def score(prediction: Prediction) -> Float[np.ndarray, "b"]:
        compared = metric_set.protocol.compared(prediction, truth, hole)
        images = (image.astype(np.float32) / 255 for image in (compared, truth))
        return np.asarray(shard(metrics.sample_score)(*images))

    if len(samples) == 1:
        return np.zeros(len(truth), int)
    return np.argmin([score(prediction) for prediction in samples], axis=0)


def _shard_over(devices: list[jax.Device]) -> Shard:
    """Return a decorator that runs a function of batches on all devices, with the batches sharded over them.

    The argument `replicated`, unless None, is passed to the function first and is the same on all devices.
    """
    mesh, sharded, everywhere = Mesh(np.array(devices), ("data",)), PartitionSpec("data"), PartitionSpec()

    @functools.cache
    def shard(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(replicated: Any, batches: tuple[Array, ...]) -> Any:
            return function(*batches) if replicated is None else function(replicated, *batches)

        mapped = jax.jit(jax.shard_map(
            call, mesh=mesh, in_specs=(everywhere, sharded), out_specs=sharded, check_vma=False))

        def run(*batches: Any, replicated: Any = None) -> Any:
            return mapped(jax.device_put(replicated, NamedSharding(mesh, everywhere)),
                          jax.device_put(batches, NamedSharding(mesh, sharded)))

        return run

    return shard


def _gather(records: list[Record], blocks: list[range]) -> list[Record]:
    """Return the records of all processes in the order of the pairs; process i holds blocks i, i + n, i + 2n, ..."""
    if jax.process_count() == 1:
        return records
    text = np.frombuffer(json.dumps(records).encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.array(text.size))
    texts = multihost_utils.process_allgather(np.pad(text, (0, lengths.max() - text.size)))
    by_process = [iter(json.loads(bytes(text[:length]))) for text, length in zip(texts, lengths, strict=True)]
    return [next(by_process[i % len(by_process)]) for i, block in enumerate(blocks) for _ in block]
