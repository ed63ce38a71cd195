"""Images per second of one training run, one thread, on the emoji task:

ours      dmlbench's loop, as `dmlbench run multi-similarity` goes through it
bare      a hand-written loop that does the same work on the same store
usual     PIL decoding and changes in a DataLoader, default precision and memory format

The three take turns in short rounds of one process, so that a machine whose speed drifts does so for all of
them; the ratios are medians over rounds. Prints a table and writes JSON.

    python benchmarks/training.py [--rounds 7] [--steps 12] [--out benchmarks/results]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# As in a run's own processes; read by the C library when a process starts.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}
if __name__ == "__main__" and not KEEP_MEMORY.keys() <= os.environ.keys():
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEP_MEMORY})

import torch
from PIL import Image, ImageEnhance
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from dmlbench.data.augment import augment, to_input
from dmlbench.data.store import Prepared
from dmlbench.files import write_json
from dmlbench.run.assemble import build_recipe, build_trainer
from dmlbench.run.home import dataset_of, ready
from dmlbench.run.planner import plan
from dmlbench.spec.run import RunSpec
from dmlbench.train.numerics import Numerics

BATCH, PER_CLASS, WIDTH, DIM = 126, 3, 64, 128
ALPHA, BETA, BASE, EPSILON = 2.0, 40.0, 0.5, 0.1


def ours(spec: RunSpec, data: Prepared) -> Callable[[], None]:
    recipe = build_recipe(spec, data.train)
    trainer = build_trainer(spec, recipe, data)
    return lambda: trainer.step() and None


def network() -> nn.Sequential:
    blocks = []
    for inputs in (3, WIDTH, WIDTH, WIDTH):
        convolution = nn.Conv2d(inputs, WIDTH, 3, padding=1, bias=False)
        blocks += [convolution, nn.BatchNorm2d(WIDTH), nn.MaxPool2d(2), nn.ReLU(inplace=True)]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(WIDTH * 4, DIM))


def multi_similarity(embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    unit = F.normalize(embeddings.float(), dim=1)
    s = unit @ unit.T
    same = labels[:, None] == labels
    positives = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    d = s.detach()
    most = d.masked_fill(same, -torch.inf).amax(1, keepdim=True)
    least = d.masked_fill(~positives, torch.inf).amin(1, keepdim=True)
    pull, push = positives & (d < most + EPSILON), ~same & (d > least - EPSILON)
    up = F.softplus((-ALPHA * (s - BASE)).masked_fill(~pull, -1e9).logsumexp(1)) / ALPHA
    down = F.softplus((BETA * (s - BASE)).masked_fill(~push, -1e9).logsumexp(1)) / BETA
    return ((up + down) * (pull.any(1) & push.any(1))).sum() / len(s)


def batches(labels: torch.Tensor, seed: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    members = [(labels == c).nonzero().flatten() for c in labels.unique()]
    while True:
        chosen = torch.randperm(len(members), generator=generator)[: BATCH // PER_CLASS]
        draws = [torch.randperm(len(members[c]), generator=generator)[:PER_CLASS] for c in chosen]
        yield torch.cat([members[c][draw] for c, draw in zip(chosen, draws, strict=True)])


def bare(spec: RunSpec, data: Prepared) -> Callable[[], None]:
    numerics, pipeline = Numerics(spec.numerics), spec.track.images
    device = numerics.device
    net = network().to(device=device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=5e-4, fused=True)
    generator = torch.Generator().manual_seed(1)
    draws = batches(data.train.labels, 0)

    def step() -> None:
        indices = next(draws)
        labels = data.train.labels[indices].to(device)
        images = to_input(data.images[data.train.rows[indices]], pipeline, device)
        images = augment(images, pipeline, generator)
        with numerics.autocast():
            embeddings = net(images)
        loss = multi_similarity(embeddings, labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        loss.item()

    return step


class Pictures(Dataset):
    """PNG bytes, as files in a page cache are; decoded and changed by PIL at every access."""

    def __init__(self, spec: RunSpec, data: Prepared) -> None:
        dataset = dataset_of(spec.task)
        wanted = set(data.train.classes)
        names = {name: label for label, name in enumerate(data.train.classes)}
        items = [item for item in dataset.items(None) if item.label in wanted]
        self.labels = torch.tensor([names[item.label] for item in items])
        self.files = []
        for item in items:
            file = io.BytesIO()
            dataset.picture(item, 72).save(file, "PNG")
            self.files.append(file.getvalue())

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        angle, zoom, x, y, *colours = torch.rand(7).tolist()
        image = (
            Image.open(io.BytesIO(self.files[index]))
            .convert("RGB")
            .resize((32, 32), Image.Resampling.BICUBIC)
        )
        zoom = 0.8 + 0.4 * zoom
        image = image.resize((round(32 * zoom), round(32 * zoom)), Image.Resampling.BILINEAR)
        canvas = Image.new("RGB", (32, 32), "white")
        shift = tuple(round(16 - 16 * zoom + (2 * v - 1) * 3.2) for v in (x, y))
        canvas.paste(image, shift)
        canvas = canvas.rotate((2 * angle - 1) * 15, Image.Resampling.BILINEAR, fillcolor="white")
        for change, value, width in zip(
            (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color),
            colours,
            (0.4, 0.4, 1.0),
            strict=True,
        ):
            canvas = change(canvas).enhance(1 + (2 * value - 1) * width)
        pixels = torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8)
        return (pixels.view(32, 32, 3).permute(2, 0, 1).float() / 255 - 1) / 0.5, int(self.labels[index])


def usual(spec: RunSpec, data: Prepared) -> Callable[[], None]:
    pictures = Pictures(spec, data)
    sampler = batches(pictures.labels, 0)
    loader = iter(DataLoader(pictures, batch_sampler=(next(sampler).tolist() for _ in iter(int, 1))))
    device = Numerics(spec.numerics).device
    net = nn.Sequential(*network()).to(device).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=5e-4)

    def step() -> None:
        images, labels = next(loader)
        loss = multi_similarity(net(images.to(device)), labels.to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--numerics", default=None)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    planned = plan(
        ["multi-similarity"], task="emoji", profile="ranked", seeds=[0], numerics=arguments.numerics
    )
    spec = planned[0].spec
    data = ready(spec.task, spec.track.images)
    loops = {"ours": ours(spec, data), "bare": bare(spec, data), "usual": usual(spec, data)}
    for step in loops.values():
        for _ in range(3):
            step()

    rates: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(arguments.rounds):
        for name, step in loops.items():
            started = time.perf_counter()
            for _ in range(arguments.steps):
                step()
            rates[name].append(BATCH * arguments.steps / (time.perf_counter() - started))

    ratios = {
        f"ours / {other}": statistics.median(a / b for a, b in zip(rates["ours"], rates[other], strict=True))
        for other in ("bare", "usual")
    }
    for name, values in rates.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name:<6} {middle:8,.0f} images/s   (from {low:,.0f} to {high:,.0f})")
    for name, value in ratios.items():
        print(f"{name:<14} {value:.2f}")
    result = {
        "images_per_second": rates,
        "ratios": ratios,
        "numerics": spec.numerics,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "batch": BATCH,
        "steps_per_round": arguments.steps,
    }
    write_json(arguments.out / f"training-{spec.numerics}.json", result)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
