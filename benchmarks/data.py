"""Images per second from storage to an augmented batch, Grocery Store's training photos at 96 x 96:

ours     the store: an indexed read, conversion and changes of whole batches, one torch thread as in a run
usual    the same JPEG files: PIL decoding and changes in a DataLoader with two workers

Both make the same kinds of changes, those of the task's track, each drawn per image: mirror image, rotation,
zoom and shift in one step, bilinear on white; brightness, contrast, saturation. They take turns in rounds of
one process; the ratios are medians over rounds. A queue that filled while the other had its turn is emptied
before the clock starts. Files are in the system's memory for both. Beside the rates stands the processor time
that an image takes, workers included: runs go side by side, and then that is what counts. It also depends
least on what else the machine does. Prints a table and writes JSON.

    python benchmarks/data.py FOLDER|ZIP [--rounds 7] [--batches 16] [--out benchmarks/results]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# As in a run's own processes; read by the C library when a process starts.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "1000000000"}
if __name__ == "__main__" and not KEEP_MEMORY.keys() <= os.environ.keys():
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEP_MEMORY})

import psutil
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch.utils.data import DataLoader, Dataset

from dmlbench.data.augment import augment, to_input
from dmlbench.data.store import Prepared
from dmlbench.data.unpack import unpack
from dmlbench.files import write_json
from dmlbench.protocols import load_task, load_track
from dmlbench.run.home import ready
from dmlbench.spec.track import ImagePipeline

BATCH, WORKERS, PREFETCH = 128, 2, 2
SETTLE_SECONDS = 1.0
# Aim: our rate with one thread over that of the DataLoader with two workers.
AIM = 5.0

Step = Callable[[], torch.Tensor]


def batches(images: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    while True:
        yield torch.randperm(images, generator=generator)[:BATCH]


def ours(data: Prepared, pipeline: ImagePipeline) -> Step:
    draws, generator, rows = batches(len(data.train.rows)), torch.Generator().manual_seed(0), data.train.rows

    def step() -> torch.Tensor:
        images = to_input(data.images[rows[next(draws)]], pipeline, "cpu")
        return augment(images, pipeline, generator)

    return step


class Photos(Dataset):
    """JPEG files; decoded and changed by PIL at every access."""

    def __init__(self, files: list[Path], pipeline: ImagePipeline) -> None:
        self.files = files
        self.size = pipeline.size
        self.mean, self.std = float(pipeline.mean), float(pipeline.std)
        change = pipeline.augmentation
        self.degrees, self.shift, self.flip = (
            float(value) for value in (change.rotation_degrees, change.shift, change.flip)
        )
        self.scale = [float(value) for value in change.scale]
        self.colours = [float(value) for value in (change.brightness, change.contrast, change.saturation)]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        angle, zoom, x, y, mirror, *colours = torch.rand(8).tolist()
        with Image.open(self.files[index]) as file:
            image = file.convert("RGB")
        if image.size != (self.size, self.size):
            image = ImageOps.fit(image, (self.size, self.size), Image.Resampling.BILINEAR)
        image = image.transform(
            image.size,
            Image.Transform.AFFINE,
            self._inverse(angle, zoom, x, y, mirror),
            Image.Resampling.BILINEAR,
            fillcolor="white",
        )
        enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for enhancer, value, width in zip(enhancers, colours, self.colours, strict=True):
            image = enhancer(image).enhance(1 + (2 * value - 1) * width)
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = pixels.view(self.size, self.size, 3).permute(2, 0, 1)
        return pixels.float().div_(255).sub_(self.mean).div_(self.std)

    def _inverse(self, angle: float, zoom: float, x: float, y: float, mirror: float) -> list[float]:
        """Output to input coordinates, as PIL wants them."""
        turn = torch.deg2rad(torch.tensor((2 * angle - 1) * self.degrees))
        factor = self.scale[0] + zoom * (self.scale[1] - self.scale[0])
        cos, sin = (turn.cos() / factor).item(), (turn.sin() / factor).item()
        flip = -1.0 if mirror < self.flip else 1.0
        middle = self.size / 2
        right, down = (middle + (2 * value - 1) * self.shift * self.size for value in (x, y))
        a, b, d, e = flip * cos, flip * sin, -sin, cos
        return [a, b, middle - a * right - b * down, d, e, middle - d * right - e * down]


def usual(files: list[Path], pipeline: ImagePipeline) -> Step:
    sampler = (draw.tolist() for draw in batches(len(files)))
    loader = DataLoader(
        Photos(files, pipeline), batch_sampler=sampler, num_workers=WORKERS, prefetch_factor=PREFETCH
    )
    arriving = iter(loader)
    return lambda: next(arriving)


def measure(step: Step, batches: int, queued: int) -> tuple[float, float]:
    """Images a second and processor milliseconds an image, in the steady state."""
    time.sleep(SETTLE_SECONDS)  # others may still be filling their queues
    for _ in range(1 + queued):
        step()
    started, used = time.perf_counter(), processor_seconds()
    for _ in range(batches):
        step()
    images = BATCH * batches
    return images / (time.perf_counter() - started), 1000 * (processor_seconds() - used) / images


def processor_seconds() -> float:
    """Of this process and the workers."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def prepared(source: Path, home: Path) -> tuple[Prepared, list[Path], ImagePipeline]:
    """The store, and the files of the same photos in the same order."""
    root = source
    if source.is_file():
        root = home / "photos"
        unpack(source, root)
    os.environ["DMLBENCH_HOME"] = str(home)
    task = load_task("grocery")
    pipeline = load_track(task.track).images
    data = ready(task, pipeline, root=source)
    folder = next(path.parent for path in root.rglob("train.txt"))
    return data, [folder / path for path in data.train.paths], pipeline


def ratio(some: list[float], others: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(some, others, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="Grocery Store, or its edition of 96 pixels")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as home:
        data, files, pipeline = prepared(arguments.source, Path(home))
        queued = {"ours": 0, "usual": WORKERS * PREFETCH}
        steps = {"ours": ours(data, pipeline), "usual": usual(files, pipeline)}
        shapes = {name: tuple(step().shape) for name, step in steps.items()}
        assert len(set(shapes.values())) == 1, shapes
        rates: dict[str, list[float]] = {name: [] for name in steps}
        costs: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(arguments.rounds):
            for name, step in steps.items():
                images_per_second, milliseconds = measure(step, arguments.batches, queued[name])
                rates[name].append(images_per_second)
                costs[name].append(milliseconds)
    load.append(os.getloadavg()[0])

    ratios = {
        "images per second, ours / usual": ratio(rates["ours"], rates["usual"]),
        "processor time, usual / ours": ratio(costs["usual"], costs["ours"]),
    }
    for name, values in rates.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        cost = f"{statistics.median(costs[name]):.2f} ms of processor time an image"
        print(f"{name:<6} {middle:8,.0f} images/s   (from {low:,.0f} to {high:,.0f}), {cost}")
    for name, value in ratios.items():
        print(f"{name:<32} {value:.2f}")
    met = ratios["images per second, ours / usual"] >= AIM
    print(f"{'met' if met else 'missed'}: at least {AIM:g} times as many images per second")
    print(f"load average before {load[0]:.1f}, after {load[1]:.1f} (our own work included)")
    result = {
        "images_per_second": rates,
        "processor_ms_per_image": costs,
        "ratios": ratios,
        "aim": {"images per second, ours / usual": AIM, "met": met},
        "load_before_and_after": load,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "pillow": Image.__version__,
        "machine": platform.machine(),
        "size": pipeline.size,
        "batch": BATCH,
        "batches_per_round": arguments.batches,
    }
    write_json(arguments.out / "data-cpu.json", result)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
