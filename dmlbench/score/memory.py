"""How many queries are ranked at once: what the free memory allows, said before the start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from dmlbench.errors import DataError

# Enough to hide what a block costs beside its arithmetic; small enough to stay near the processor's caches.
_PREFERRED_BLOCK = {"cpu": 64 << 20, "cuda": 1 << 30}
# The rest is left to the caller, to other processes and to what the allocator keeps.
_SHARE_OF_FREE = 0.5

# Similarities in one matrix product, and bounds on its queries: a product reads the whole gallery, and needs
# queries enough to make that worth while.
_TILE_ELEMENTS = 2**25
_TILE_QUERIES = (8, 512)

# Bytes beside the similarities, for each positive of a query: columns, values, counts, ranks and metrics.
_POSITIVE_BYTES = 100


@dataclass(frozen=True)
class Plan:
    """What is about to be done, in which portions."""

    queries: int
    gallery: int
    dim: int
    distance: str
    dtype: torch.dtype
    tile: int
    """Queries in one matrix product. It follows from the gallery alone: the last bit of a product depends on
    its shape, and no memory budget may change a bit."""
    height: int
    """Queries in a block: whole tiles."""
    block_bytes: int
    gallery_bytes: int
    """The copy of the gallery that is searched."""
    free_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.queries:,} queries x {self.gallery:,} items of {self.dim} dimensions, {self.distance} in "
            f"{str(self.dtype).removeprefix('torch.')}: blocks of {min(self.height, self.queries):,} queries "
            f"({_mib(self.block_bytes)}), gallery {_mib(self.gallery_bytes)}, {_mib(self.free_bytes)} free"
        )


def plan_blocks(
    queries: int,
    gallery: int,
    dim: int,
    *,
    distance: str,
    dtype: torch.dtype,
    device: torch.device,
    positives: int,
    max_block_mib: int | None = None,
) -> Plan:
    """Portions that fit into half of the free memory; `positives` is the most that any query may have.

    Raises `DataError` when not even the gallery and one matrix product fit.
    """
    tile = tile_queries(gallery)
    query_bytes = 2 * gallery * dtype.itemsize + positives * _POSITIVE_BYTES
    gallery_bytes = gallery * dim * dtype.itemsize
    free = free_bytes(device)
    if gallery_bytes + tile * query_bytes > free:
        raise DataError(
            f"a gallery of {gallery:,} x {dim} takes {_mib(gallery_bytes + tile * query_bytes)} in "
            f"{str(dtype).removeprefix('torch.')}; {_mib(free)} are free",
            way_out="fewer items, fewer dimensions, or a machine with more memory",
        )
    budget = max_block_mib << 20 if max_block_mib else _PREFERRED_BLOCK.get(device.type, 64 << 20)
    budget = min(budget, int((free - gallery_bytes) * _SHARE_OF_FREE))
    height = max(1, budget // (query_bytes * tile)) * tile
    height = min(height, -(-queries // tile) * tile)
    return Plan(
        queries, gallery, dim, distance, dtype, tile, height, height * query_bytes, gallery_bytes, free
    )


def tile_queries(gallery: int) -> int:
    """Queries in one matrix product: a power of two that follows from the gallery alone."""
    least, most = _TILE_QUERIES
    wanted = max(least, min(most, _TILE_ELEMENTS // gallery))
    return 1 << (wanted.bit_length() - 1)


def free_bytes(device: torch.device) -> int:
    """Memory that can be taken on a device now; on the CPU also within the limit of the control group."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min([psutil.virtual_memory().available, *_control_group()])


def _control_group(folder: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What a container or a batch system leaves to this process; nothing where no limit is set."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        cached = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return []
    # Cached files are given back when memory is short.
    return [] if limit == "max" else [int(limit) - used + int(cached.get("inactive_file", 0))]


def _mib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
