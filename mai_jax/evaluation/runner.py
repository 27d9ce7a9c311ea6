"""Measures pairs, batch by batch, over all devices and processes: one record per photograph and hole."""

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

from mai_jax.evaluation import lpips, metrics
from mai_jax.evaluation.classical import Fill, fill_many
from mai_jax.evaluation.pairs import Pair, Pairs
from mai_jax.evaluation.protocols import Protocol

Record = dict[str, Any]
Truths = UInt8[np.ndarray, "b h w 3"]
Holes = Bool[np.ndarray, "b h w"]
Painted = Truths | Float[np.ndarray | Array, "b h w 3"]
Draws = UInt8[np.ndarray, "n b h w 3"] | Float[np.ndarray | Array, "n b h w 3"]
Paint = Callable[[Truths, Holes], Draws]  # a network: what it painted, once or in several draws, not yet completed
Split = Callable[[Callable[..., Any]], Callable[..., Any]]

DIGITS = 6  # decimals of a record: where machines still agree, and more than a table shows


class Judge(NamedTuple):
    """A protocol, and if wanted the parameters of LPIPS (`lpips.load`)."""

    protocol: Protocol
    lpips: dict[str, Any] | None = None


def measure(
    pairs: Pairs, judge: Judge, paint: Paint | None, rows: Mapping[str, Fill], batch_size: int,
    devices: list[jax.Device] | None = None, best_row: str = "best",
) -> list[Record]:  # fmt: skip
    """The record of every pair, in their order: `id`, `hole`, `pair` (a digest of the pixels), `hole_ratio`, the
    judge's metrics, and under the name of each of `rows` the same metrics of what that method fills in.

    Of several draws a record holds the means, and under the name `best_row` the metrics of the draw that is the best
    by `metrics.choice`, which looks at the truth.

    Pairs that come painted are measured as they are, `paint` paints the others. Each process measures its share and
    gets all records; on one kind of machine, how many devices and processes there are changes none of them.
    """
    devices = jax.local_devices() if devices is None else devices
    size = batch_size * len(devices)  # `batch_size` on each, so that each runs the same program however many there are
    split = _split_over(devices)
    # Dealt out in whole batches, so that a pair has the same neighbours in its batch whoever measures it.
    blocks = [range(len(pairs))[start : start + size] for start in range(0, len(pairs), size)]
    share = list(itertools.chain(*blocks[jax.process_index() :: jax.process_count()]))
    records: list[Record] = []
    with tqdm(total=len(share), desc="evaluating", unit="hole") as bar:
        for batch in batches(map(pairs.__getitem__, share), size):
            truth, hole, draws = _stack(batch, size, paint)
            own = [_judge(judge, painted, truth, hole, split) for painted in draws]
            best = _best(judge, draws, truth, hole, split)
            others = {name: _judge(judge, fill_many(fill, truth, hole), truth, hole, split)
                      for name, fill in rows.items()}
            for i, pair in enumerate(batch):
                which = {"id": pair.id, "hole": pair.hole_id, "pair": pair.digest}
                record = which | {"hole_ratio": float(pair.hole.mean())} | _means([found[i] for found in own])
                if len(draws) > 1:
                    record[best_row] = own[best[i]][i]
                records.append(record | {name: found[i] for name, found in others.items()})
            bar.update(len(batch))
    return _gather(records, blocks)


def completed(pairs: Iterable[Pair], protocol: Protocol, paint: Paint | None, batch_size: int) -> Iterator[Truths]:
    """Batches of what the protocol holds against the truths, in the order of the pairs. Of several draws the first."""
    for batch in batches(pairs, batch_size):
        truth, hole, draws = _stack(batch, batch_size, paint)
        yield np.asarray(protocol.compared(draws[0], truth, hole))[: len(batch)]


def batches(pairs: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    """Up to `size` neighbours of one shape."""
    batch: list[Pair] = []
    for pair in pairs:
        if batch and (len(batch) == size or pair.truth.shape != batch[0].truth.shape):
            yield batch
            batch = []
        batch.append(pair)
    if batch:
        yield batch


def _stack(batch: list[Pair], size: int, paint: Paint | None) -> tuple[Truths, Holes, Draws]:
    """Truth, hole and what was painted. The last pair fills the batch up, so that every batch has one shape."""
    full = batch + [batch[-1]] * (size - len(batch))
    truth, hole = np.stack([pair.truth for pair in full]), np.stack([pair.hole for pair in full])
    if batch[0].painted is None:
        return truth, hole, paint(truth, hole)
    return truth, hole, np.stack([pair.painted for pair in full])[None]


def _judge(judge: Judge, painted: Painted, truth: Truths, hole: Holes, split: Split) -> list[dict[str, float]]:
    columns = split(judge.protocol.measure)(painted, truth, hole)
    if judge.lpips is not None:
        seen = judge.protocol.compared(painted, truth, hole)
        both = (image.astype(np.float32) / 255 for image in (seen, truth))
        columns["lpips"] = split(lpips.distance)(*both, shared=judge.lpips)
    columns = {name: np.asarray(column).astype(float).round(DIGITS).tolist() for name, column in columns.items()}
    # Without a hole there is nothing to say of its inside.
    return [{name: column[i] for name, column in columns.items() if hole[i].any() or not name.startswith("hole_")}
            for i in range(len(truth))]


def _means(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(fmean(draw[name] for draw in found), DIGITS) for name in found[0]}


def _best(judge: Judge, draws: Draws, truth: Truths, hole: Holes, split: Split) -> Int[np.ndarray, "b"]:
    """Which draw of each hole is the best."""
    def score(painted: Painted) -> Float[np.ndarray, "b"]:
        both = (image.astype(np.float32) / 255 for image in (judge.protocol.compared(painted, truth, hole), truth))
        return np.asarray(split(metrics.choice)(*both))

    return np.argmin([score(painted) for painted in draws], axis=0) if len(draws) > 1 else np.zeros(len(truth), int)


def _split_over(devices: list[jax.Device]) -> Split:
    """Makes a function of batches run on all devices, each on its part of the batch; `shared` comes first and whole."""
    mesh, parts, whole = Mesh(np.array(devices), ("data",)), PartitionSpec("data"), PartitionSpec()

    @functools.cache
    def split(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(shared: Any, batches: tuple[Array, ...]) -> Any:
            return function(*batches) if shared is None else function(shared, *batches)

        mapped = jax.jit(jax.shard_map(
            call, mesh=mesh, in_specs=(whole, parts), out_specs=parts, check_vma=False))

        def run(*batches: Any, shared: Any = None) -> Any:
            return mapped(jax.device_put(shared, NamedSharding(mesh, whole)),
                          jax.device_put(batches, NamedSharding(mesh, parts)))

        return run

    return split


def _gather(mine: list[Record], blocks: list[range]) -> list[Record]:
    """The records of all processes in the order of the pairs, whose blocks were dealt out in turn."""
    if jax.process_count() == 1:
        return mine
    text = np.frombuffer(json.dumps(mine).encode(), np.uint8)
    lengths = multihost_utils.process_allgather(np.array(text.size))
    texts = multihost_utils.process_allgather(np.pad(text, (0, lengths.max() - text.size)))
    shares = [iter(json.loads(bytes(text[:length]))) for text, length in zip(texts, lengths, strict=True)]
    return [next(shares[i % len(shares)]) for i, block in enumerate(blocks) for _ in block]
