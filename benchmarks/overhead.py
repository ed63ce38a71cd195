"""What a method costs beside the method that it is compared with: seconds per step, peak memory, state.

Each recipe and its base train in one process, on one task. They stand where half of the budget is used, so
that warm-ups are over, and take turns epoch by epoch; what comes every few epochs, e.g. statistics over all
images, is in. Ratios are medians over rounds of some epochs. Time is the processor's where one thread works,
so that a busy machine counts little. Peak memory is that of the tensors made in an epoch's first step; state
is what a checkpoint holds. Prints a table and writes JSON.

    python benchmarks/overhead.py [METHOD …] [--task emoji] [--rounds 5] [--epochs 4]
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
from losses import LiveTensors
from scoring import environment
from tabulate import tabulate
from torch import Tensor
from torch.utils._pytree import tree_leaves

from dmlbench.files import write_json
from dmlbench.registry.registry import registry
from dmlbench.run.assemble import build_recipe, build_trainer
from dmlbench.run.home import ready
from dmlbench.run.methods import resolve_method
from dmlbench.run.planner import plan
from dmlbench.train.loop import Trainer

METHODS = (
    "das",
    "iaa",
    "hier",
    "alternating-projections",
    "loss-ensemble",
    "two-stage-generation",
    "gaussian-subspaces",
    "hybrid-global-local",
)
# The aim: at most so many times the base's seconds per step.
AIMS = {"das": 1.3, "iaa": 1.3, "hier": 1.5, "alternating-projections": 1.1}
MIB = 2**20


def offered(methods: list[str]) -> list[str]:
    known = {entry.plugin.id for entry in registry().entries if entry.plugin.kind == "method"}
    return [name for name in methods if name in known]


def half_way(name: str, task: str, numerics: str | None) -> Trainer:
    """A trainer at the start of an epoch, about half of the budget used."""
    (planned,) = plan([name], task=task, profile="ranked", seeds=[0], numerics=numerics)
    spec = planned.spec
    data = ready(spec.task, spec.track.images)
    trainer = build_trainer(spec, build_recipe(spec, data.train), data)
    for _ in range(2):
        trainer.step()  # first calls fill caches; an epoch's first step is among them
    epoch_steps = trainer.recipe.facts["epoch_steps"]
    trainer.step_number = trainer.recipe.facts["steps"] // 2 // epoch_steps * epoch_steps
    trainer.images_seen = spec.budget // 2
    return trainer


def epoch_seconds(trainer: Trainer) -> float:
    """Seconds per step of one epoch; of the processor where one thread works, so that others count little."""
    alone = trainer.recipe.device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    steps = trainer.recipe.facts["epoch_steps"]
    started = clock()
    for _ in range(steps):
        trainer.step()
    if trainer.recipe.device.type == "cuda":
        torch.cuda.synchronize()
    return (clock() - started) / steps


def peak_mib(trainer: Trainer) -> float:
    with LiveTensors() as tensors:
        trainer.step()
    return tensors.peak / MIB


def state_mib(trainer: Trainer) -> float:
    leaves = [leaf for leaf in tree_leaves(trainer.state_dict()) if isinstance(leaf, Tensor)]
    return sum(leaf.numel() * leaf.element_size() for leaf in leaves) / MIB


def measure(pairs: dict[str, str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row of the table for each method; `pairs` has its base."""
    names = list(dict.fromkeys([*pairs.values(), *pairs]))
    trainers = {name: half_way(name, options.task, options.numerics) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(options.rounds):
        epochs: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(options.epochs):
            for name, trainer in trainers.items():
                epochs[name].append(epoch_seconds(trainer))
        for name, found in epochs.items():
            seconds[name].append(statistics.mean(found))
    peaks = {name: peak_mib(trainer) for name, trainer in trainers.items()}
    states = {name: state_mib(trainer) for name, trainer in trainers.items()}
    return [
        {
            "method": name,
            "base": base,
            "seconds_per_step": statistics.median(seconds[name]),
            "base_seconds_per_step": statistics.median(seconds[base]),
            "to_base": statistics.median(a / b for a, b in zip(seconds[name], seconds[base], strict=True)),
            "rounds": [a / b for a, b in zip(seconds[name], seconds[base], strict=True)],
            "peak_mib": peaks[name],
            "base_peak_mib": peaks[base],
            "state_mib": states[name],
            "base_state_mib": states[base],
        }
        for name, base in pairs.items()
    ]


def aims(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was aimed at, and whether it was reached."""
    return [
        {
            "aim": f"{row['method']}: under {AIMS[row['method']]} times {row['base']}",
            "value": row["to_base"],
            "met": row["to_base"] < AIMS[row["method"]],
        }
        for row in found
        if row["method"] in AIMS
    ]


def show(found: list[dict[str, Any]]) -> None:
    columns = {
        "method": "method",
        "base": "base",
        "seconds_per_step": "s / step",
        "base_seconds_per_step": "base",
        "to_base": "x base",
        "peak_mib": "peak MiB",
        "base_peak_mib": "base",
        "state_mib": "state MiB",
        "base_state_mib": "base",
    }
    table = [[row[key] for key in columns] for row in found]
    formats = ("", "", ".4f", ".4f", ".2f", ",.1f", ",.1f", ",.1f", ",.1f")
    print(tabulate(table, columns.values(), floatfmt=formats), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="*", metavar="METHOD")
    parser.add_argument("--task", default="emoji")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="of each method in a round")
    parser.add_argument("--numerics", default=None)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)

    names = options.methods or offered(list(METHODS))
    pairs = {name: str(resolve_method(name)[1].base) for name in names}
    found = measure(pairs, options)
    show(found)
    result = {
        "environment": environment(),
        "task": options.task,
        "epochs_per_round": options.epochs,
        "rows": found,
        "aims": aims(found),
    }
    for aim in result["aims"]:
        print(f"{'met' if aim['met'] else 'missed':<6}  {aim['aim']}: {aim['value']:.2f}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    write_json(options.out / f"overhead-{options.task}-{device}.json", result)


if __name__ == "__main__":
    main()
