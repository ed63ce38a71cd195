"""Seconds and peak memory of scoring N embeddings against each other, cosine, beside what others take:

ours            `dmlbench.score`: ten retrieval metrics, the full mean average precision among them
ours, no numba  the same where the extra `fast` is not installed
bare products   normalising and the float32 products alone, in a block that is reused; no rank, no metric
faiss, first K  flat search on unit vectors for the K nearest others: the head of a ranking, no metric
pml, head       pytorch-metric-learning: three metrics of the first R, its quickest search
pml, map        the same library's full mean average precision, alone: it holds all pairs at once

Contenders take turns in rounds of one process, after a warm-up on few items; the ratios are medians over
rounds. A contender with several settings is timed in the one that was quickest on the same items. Peak memory
is that of a fresh process that does nothing else, its libraries and the embeddings included. The embeddings
are clusters in the proportions of Stanford Online Products, so noisy that ranks are neither perfect nor
chance. Prints a table and writes JSON.

    python benchmarks/scoring.py [--sizes 5000 20000 60502] [--dims 128 512] [--rounds 3] [--threads 2]
    python benchmarks/scoring.py --only ours --n 60502 --dim 512        # seconds and peak of one, as JSON
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from scoring_contenders import (
    CONTENDERS,
    DEVICE,
    METRICS,
    PML_HEAD,
    SOP_ITEMS,
    Score,
    clustered,
    ours,
    pml_head,
    pml_map,
)
from tabulate import tabulate
from torch import Tensor

from dmlbench.files import write_json

# Enough pairs for the compiled kernels to be loaded.
WARM_UP = 3_000
AGREE = 1e-6
# Aims: our time over that of bare products, for each number of dimensions.
MOST_TO_BARE = {128: 1.7, 512: 1.5}


def seconds(function: Score, *given: Tensor) -> float:
    started = time.perf_counter()
    function(*given)
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def only(name: str, setting: str | None, items: int, dim: int) -> dict[str, float]:
    """One contender, once, in this process; on few items a second time, warm."""
    settings = CONTENDERS[name].settings
    function = settings[next(iter(settings)) if setting is None else setting]
    given = clustered(items, dim)
    result = {"seconds": seconds(function, *given), "peak_mib": peak_mib()}
    return result | ({"warm_seconds": seconds(function, *given)} if items <= WARM_UP else {})


def peak_mib() -> float:
    """The process's peak so far, or on a GPU that of PyTorch's tensors there."""
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")  # Linux lets `getrusage` begin with the peak of the parent process
    peak = status.read_text().partition("VmHWM:")[2].split() if status.exists() else []
    if peak:
        return int(peak[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def fresh(name: str, setting: str, items: int, dim: int, **environment: str) -> dict[str, float]:
    """`only`, in a process of its own."""
    command = [sys.executable, __file__, "--only", name, "--setting", setting]
    command += ["--n", str(items), "--dim", str(dim), "--threads", str(torch.get_num_threads())]
    done = subprocess.run(
        command, env={**os.environ, **environment}, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure(items: int, dim: int, rounds: int, budget: float, memory: bool) -> list[dict[str, Any]]:
    """A row for each contender."""
    given = clustered(items, dim)
    rows: list[dict[str, Any]] = []
    for name, contender in CONTENDERS.items():
        row = {"items": items, "dim": dim, "contender": name, "seconds": []}
        row["skipped"] = contender.reason_against(items)
        if row["skipped"] is None:
            several = contender.settings if len(contender.settings) > 1 else {}
            row["tried"] = {setting: seconds(function, *given) for setting, function in several.items()}
            row["setting"] = min(row["tried"], key=row["tried"].__getitem__, default="")
        rows.append(row)
    for _ in range(rounds):
        for row in rows:
            if row["skipped"] is None and sum(row["seconds"]) < budget:
                function = CONTENDERS[row["contender"]].settings[row["setting"]]
                row["seconds"].append(seconds(function, *given))
    by_name = {row["contender"]: row["seconds"] for row in rows}
    for row in rows:
        if row["skipped"] is None:
            row["to_bare"] = ratio(row["seconds"], by_name["bare products"])
            row["ours_to_it"] = ratio(by_name["ours"], row["seconds"])
            if memory:
                row["peak_mib"] = fresh(row["contender"], row["setting"], items, dim)["peak_mib"]
    return rows


def ratio(some: list[float], others: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(some, others, strict=False))


def agreement(items: int, dim: int) -> dict[str, float]:
    """How far our numbers are from pytorch-metric-learning's."""
    given = clustered(items, dim)
    mine, search = ours(*given), "FaissKNN, inner product"
    theirs = {PML_HEAD[name]: value for name, value in pml_head(*given, search=search).items()}
    theirs["map"] = pml_map(*given, search=search)["mean_average_precision"]
    return {name: abs(mine[name] - value) for name, value in theirs.items()}


def cold_start() -> dict[str, float]:
    """What the first call of a process takes more than the second, kernels compiled before or not."""
    with tempfile.TemporaryDirectory() as empty:
        first = {"kernels to compile": fresh("ours", "", WARM_UP, 128, NUMBA_CACHE_DIR=empty)}
        first["kernels on disk"] = fresh("ours", "", WARM_UP, 128, NUMBA_CACHE_DIR=empty)
    return {name: times["seconds"] - times["warm_seconds"] for name, times in first.items()}


def aims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was aimed at, and whether it was reached."""
    found = []
    for row in rows:
        size = f"{row['items']:,} x {row['dim']}"
        mine = row["contender"] == "ours"
        if mine and row["dim"] in MOST_TO_BARE:
            most, got = MOST_TO_BARE[row["dim"]], row["to_bare"]
            found.append((f"{size}: at most {most} x bare products", got, got <= most))
        if mine and (row["items"], row["dim"]) == (SOP_ITEMS, 512) and "peak_mib" in row:
            peak = row["peak_mib"] * 2**20 / 1e9
            found.append((f"{size}: peak under 1 GB", peak, peak < 1))
        if row["contender"] == "pml, map" and row["items"] == 5_000 and row["skipped"] is None:
            times = 1 / row["ours_to_it"]
            found.append((f"{size}: at least 25 x as fast as pml's full map", times, times >= 25))
    return [{"aim": aim, "value": value, "met": met} for aim, value, met in found]


def environment() -> dict[str, Any]:
    packages = ("dmlbench", "torch", "numpy", "numba", "faiss-cpu", "faiss-gpu", "pytorch-metric-learning")
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = cpuinfo.partition("model name")[2].partition("\n")[0].strip("\t :")
    return {
        "python": platform.python_version(),
        "packages": {package: version(package) for package in packages},
        "processor": model or platform.processor(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if DEVICE.type == "cuda" else None,
    }


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def show(rows: list[dict[str, Any]]) -> None:
    columns = ("items", "dim", "contender", "seconds", "x bare", "ours / it", "peak MiB", "setting")
    table = []
    for row in rows:
        if row["skipped"] is None:
            ratios = row["to_bare"], row["ours_to_it"]
            figures = [statistics.median(row["seconds"]), *ratios, row.get("peak_mib"), row["setting"]]
        else:
            figures = [*[None] * 4, row["skipped"]]
        table.append([row["items"], row["dim"], row["contender"], *figures])
    formats = (",", "", "", ".3f", ".2f", ".3f", ",.0f", "")
    print(tabulate(table, columns, floatfmt=formats, intfmt=formats), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 20_000, SOP_ITEMS])
    parser.add_argument("--dims", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=90, help="seconds after which none is repeated")
    parser.add_argument("--threads", type=int, help="all cores unless given")
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="measure no peaks")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--only", choices=CONTENDERS, help="run one contender once, with --n and --dim")
    parser.add_argument("--setting")
    parser.add_argument("--n", type=int, default=WARM_UP)
    parser.add_argument("--dim", type=int, default=128)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.only:
        print(json.dumps(only(options.only, options.setting, options.n, options.dim)))
        return

    cold = cold_start()
    for contender in CONTENDERS.values():
        if contender.reason_against(WARM_UP) is None:
            for function in contender.settings.values():
                function(*clustered(WARM_UP, options.dims[0]))
    result: dict[str, Any] = {"environment": environment(), "cold_start_seconds": cold, "metrics": METRICS}
    smallest = min(options.sizes), options.dims[0]
    if CONTENDERS["pml, map"].reason_against(smallest[0]) is None:
        result["differences_from_pml"] = differences = agreement(*smallest)
        verdict = "agree" if max(differences.values()) <= AGREE else "DISAGREE"
        print(f"ours and pml {verdict} within {AGREE}:", differences)
    print("the first call of a process takes longer, by seconds:", cold)
    result["rows"] = []
    for items in options.sizes:
        for dim in options.dims:
            rows = measure(items, dim, options.rounds, options.budget, options.memory)
            result["rows"] += rows
            show(rows)
    result["aims"] = aims(result["rows"])
    for aim in result["aims"]:
        print(f"{'met' if aim['met'] else 'missed':<6}  {aim['aim']}: {aim['value']:.2f}")
    write_json(options.out / f"scoring-{DEVICE.type}-fp32.json", result)


if __name__ == "__main__":
    main()
