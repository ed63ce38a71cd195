"""Would a first pass in bfloat16 pay, with exact products only where it cannot tell the order?

Bound. Let u and v be unit rows, U and V the same rounded to bfloat16, and a = |U - u|, b = |V - v|: measured,
and at most 2^-8, as bfloat16 keeps 8 significant bits. U·V - u·v = (U - u)·V + u·(V - v), which by Cauchy and
Schwarz is at most a(1 + b) + b. Products of two bfloat16 are exact in float32; adding D of them in any order
errs by at most D 2^-24 / (1 - D 2^-24) times |U||V| <= (1 + a)(1 + b). The float32 path, whose order is to be
reproduced, errs by as much about u·v. A result that is stored in bfloat16 moved by at most 2^-8 of itself.
Let B be the sum for a pair. Two items keep their order where their intervals of B to each side do not meet;
an item is undecided where its interval meets that of one of the query's positives.

Cost, measured on one thread: the bfloat16 products, counting against two thresholds per positive in place of
one, listing the undecided pairs, and multiplying them in float32 in the order that is kindest to the caches.
Marking them is taken to be free, and so are the bounds; so the estimate favours the first pass.

    python benchmarks/bf16_first_pass.py [--items 20000]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from scoring import environment
from scoring_contenders import clustered
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional as F

from dmlbench.files import write_json
from dmlbench.score.counting import count_ranks
from dmlbench.score.positives import Columns, SameClass

QUERIES, ROUNDS = 512, 7
# Share of the time below which it would be worth its code and its second way to the same numbers.
WORTH_IT = 0.8
# Closeness of a class in standard deviations of unrelated similarities, and decay of the spectrum.
CLOUDS = {"hard": (2.0, 0.0), "medium": (3.0, 0.0), "easy": (5.0, 0.0), "decaying spectrum": (3.0, 0.5)}


@numba.njit(fastmath=True)
def dots(queries: Any, items: Any, pairs: Any, out: Any) -> None:
    for i in range(len(pairs)):
        total = np.float32(0)
        for d in range(queries.shape[1]):
            total += queries[pairs[i, 1], d] * items[pairs[i, 0], d]
        out[i] = total


def medians(**functions: Callable[[], object]) -> dict[str, float]:
    """Seconds of each; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(1 + ROUNDS):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(some[1:]) for name, some in times.items()}


def undecided(first: Tensor, bound: Tensor, positives: Columns) -> Tensor:
    """Where an item's interval meets that of one of the query's positives."""
    low, high = first - bound, first + bound
    meets = torch.zeros_like(first, dtype=torch.bool)
    for column, valid in zip(positives.columns.split(1, 1), positives.valid.split(1, 1), strict=True):
        meets |= valid & (high >= low.gather(1, column)) & (low <= high.gather(1, column))
    return meets


def examine(count: int, dim: int, closeness: float, decay: float) -> dict[str, float]:
    embeddings, labels = clustered(count, dim, closeness)
    items = F.normalize(embeddings * torch.arange(1, dim + 1) ** -decay)
    rounded, own = items.bfloat16(), torch.arange(QUERIES)
    block, first = torch.empty(QUERIES, count), torch.empty(QUERIES, count, dtype=torch.bfloat16)
    torch.mm(items[:QUERIES], items.T, out=block)
    torch.mm(rounded[:QUERIES], rounded.T, out=first)

    moved = (rounded.double() - items).norm(dim=1).float()
    a, b, sums = moved[:QUERIES, None], moved, dim * 2.0**-24 / (1 - dim * 2.0**-24)
    bound = a * (1 + b) + b + sums * ((1 + a) * (1 + b) + 1) + 2.0**-8 * first.abs()
    bound *= 1.0001  # lengths are 1, and this sum exact, up to float32's last bits
    error = (first - block).abs()
    if bool((error > bound).any()):
        raise ArithmeticError("the bound does not hold")
    positives = SameClass.of(labels[:QUERIES], labels).positives(slice(0, QUERIES), own)
    others = first.float()
    others[own, own] = -2
    open_ = undecided(others, bound, positives)
    pairs = open_.T.nonzero()
    given = items[:QUERIES].numpy(), items.numpy(), pairs.numpy(), np.empty(len(pairs), np.float32)
    seconds = medians(
        fp32=lambda: torch.mm(items[:QUERIES], items.T, out=block),
        bf16=lambda: torch.mm(rounded[:QUERIES], rounded.T, out=first),
        counting=lambda: count_ranks(block, positives),
        listing=lambda: np.flatnonzero(open_.numpy()),
        again=lambda: dots(*given),
    )
    first_pass = seconds["bf16"] + 2 * seconds["counting"] + seconds["listing"]
    return {
        "bound": float(bound.mean()),
        "largest_error": float(error.max()),
        "undecided": len(pairs) / block.numel(),
        **{f"{name}_ns": value / block.numel() * 1e9 for name, value in seconds.items()},
        "time_to_fp32": (first_pass + seconds["again"]) / (seconds["fp32"] + seconds["counting"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="See the top of this file.")
    parser.add_argument("--items", type=int, default=20_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    clouds, n = CLOUDS.items(), options.items
    rows = [{"dim": d, "embeddings": e} | examine(n, d, *cloud) for d in (128, 512) for e, cloud in clouds]
    print(tabulate(rows, headers="keys", floatfmt=".3g"))
    times = [row["time_to_fp32"] for row in rows]
    verdict = "pays" if max(times) < WORTH_IT else "depends" if min(times) < WORTH_IT else "does not pay"
    print(f"{min(times):.2f} to {max(times):.2f} of the time without ({WORTH_IT} is worth it): {verdict}")
    result = {"rows": rows, "verdict": verdict, "items": options.items, "environment": environment()}
    write_json(Path(__file__).parent / "results" / "bf16-first-pass-cpu.json", result)


if __name__ == "__main__":
    main()
