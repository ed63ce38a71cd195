"""Milliseconds and peak memory, forwards and backwards, of every loss of pairs and tuples, beside

floor   normalising, the similarity matrix, and the products of the way back: what all of them pay
pml     pytorch-metric-learning's loss of the same name, with its miner of the same name

Ours are called as core calls them, which makes unit rows, masks and similarity and calls the miner. All take
turns in rounds of one process; times and ratios are medians over rounds. Time is the processor's where one
thread works, so that a busy machine counts little.
Peak memory is that of the tensors that one step makes. Prints a table and writes JSON.

    python benchmarks/losses.py [--rows 128 512 1024] [--dims 128 512] [--rounds 15] [--threads 1]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

# As in a run's own processes; read by the C library when a process starts.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}
if __name__ == "__main__" and not KEEP_MEMORY.keys() <= os.environ.keys():
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEP_MEMORY})

import torch
from losses_contenders import DEVICE, PER_CLASS, Step, clustered, contenders, floor
from scoring import environment
from tabulate import tabulate
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dmlbench.files import write_json

# The aim: at these rows and dimensions no loss takes more than so many times the floor.
AIM_ROWS, AIM_DIM, AIM_TIMES = 512, 512, 2.0
# Where nothing of size rows x rows x rows would fit; ours alone, once.
MANY_ROWS = 4_096
# The most tensors of rows x rows float32 that may be there at once.
MOST_MATRICES = 20
# A step that takes longer is not repeated as often as there are rounds.
BUDGET_SECONDS = 20.0


def milliseconds(step: Step, raw: Tensor) -> float:
    """Of the processor where one thread works, so that other programs count little; else of the clock."""
    alone = DEVICE.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    started = clock()
    step(raw)
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return 1000 * (clock() - started)


class LiveTensors(TorchDispatchMode):
    """Inside it, `peak` is the most bytes that tensors made there hold together, after any operation."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = function(*args, **(kwargs or {}))
        known = {
            leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)
        }
        for leaf in tree_leaves(answer):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in known:
                reference = StorageWeakRef(leaf.untyped_storage())
                self._live[reference.cdata] = reference, leaf.untyped_storage().nbytes()
        self._live = {key: pair for key, pair in self._live.items() if not pair[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._live.values()))
        return answer


def peak_mib(step: Step, raw: Tensor) -> float:
    with LiveTensors() as tensors:
        step(raw)
    return tensors.peak / 2**20


def measure(rows: int, dim: int, rounds: int, peers: bool) -> list[dict[str, Any]]:
    """A row of the table for each loss and library."""
    raw = clustered(rows, dim)
    steps = {("floor", ""): floor(rows, dim)}
    for name, contender in contenders().items():
        for library, step in contender.steps(rows, dim, peers).items():
            steps[name, library] = step
    times: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
    for step in steps.values():
        step(raw)  # first calls fill caches
    # Theirs come last: some move gigabytes, and leave nothing of the next one's in a cache.
    order = sorted(steps, key=lambda key: key[1] == "pml")
    for _ in range(rounds):
        steps[order[0]](raw)
        for key in order:
            if sum(times[key]) < 1000 * BUDGET_SECONDS:
                times[key].append(milliseconds(steps[key], raw))
    bare = times["floor", ""]
    return [
        {
            "rows": rows,
            "dim": dim,
            "loss": name,
            "library": library,
            "milliseconds": statistics.median(times[name, library]),
            "to_floor": ratio(times[name, library], bare),
            "pml_to_it": ratio(times[name, "pml"], times[name, library]) if (name, "pml") in times else None,
            "peak_mib": (peak := peak_mib(step, raw)),
            "matrices": peak * 2**20 / (4 * rows**2),
        }
        for (name, library), step in steps.items()
    ]


def ratio(some: list[float], others: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(some, others, strict=False))


def aims(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was aimed at, and whether it was reached."""
    mine = [row for row in found if row["library"] == "ours"]
    result = []
    for row in mine:
        if (row["rows"], row["dim"]) == (AIM_ROWS, AIM_DIM):
            text = f"{row['loss']}, {AIM_ROWS} x {AIM_DIM}: at most {AIM_TIMES} x the floor"
            result.append({"aim": text, "value": row["to_floor"], "met": row["to_floor"] <= AIM_TIMES})
        if row["rows"] == MANY_ROWS:
            text = (
                f"{row['loss']}, {MANY_ROWS:,} x {row['dim']}: at most {MOST_MATRICES} tensors of rows x rows"
            )
            result.append({"aim": text, "value": row["matrices"], "met": row["matrices"] <= MOST_MATRICES})
    return result


def show(found: list[dict[str, Any]]) -> None:
    columns = ("rows", "dim", "loss", "library", "ms", "x floor", "pml / it", "peak MiB", "rows² floats")
    table = [
        [
            row[name]
            for name in (
                "rows",
                "dim",
                "loss",
                "library",
                "milliseconds",
                "to_floor",
                "pml_to_it",
                "peak_mib",
                "matrices",
            )
        ]
        for row in found
    ]
    formats = ("", "", "", "", ",.2f", ".2f", ".2f", ",.1f", ".1f")
    print(tabulate(table, columns, floatfmt=formats), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[128, 512, 1_024])
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="ours and the floor alone")
    parser.add_argument("--no-many", dest="many", action="store_false", help=f"not at {MANY_ROWS:,} rows")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    result: dict[str, Any] = {"environment": environment(), "per_class": PER_CLASS, "rows": []}
    for rows in options.rows:
        for dim in options.dims:
            result["rows"] += (found := measure(rows, dim, options.rounds, options.peers))
            show(found)
    if options.many:
        result["rows"] += (found := measure(MANY_ROWS, max(options.dims), 1, peers=False))
        show(found)
    result["aims"] = aims(result["rows"])
    for aim in result["aims"]:
        print(f"{'met' if aim['met'] else 'missed':<6}  {aim['aim']}: {aim['value']:.2f}")
    write_json(options.out / f"losses-{DEVICE.type}-fp32.json", result)


if __name__ == "__main__":
    main()
