"""What `scoring.py` times: its embeddings, and each way to score them."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlbench.score import score
from dmlbench.score.memory import free_bytes, tile_queries

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
METRICS = [f"recall_at_{k}" for k in (1, 10, 100, 1000)]
METRICS += ["precision_at_10", "r_precision", "map_at_r", "map", "ndcg_at_10", "mrr"]

# Stanford Online Products' test half: items, classes, the fewest and the most items of a class.
SOP_ITEMS, SOP_CLASSES, FEWEST, MOST = 60_502, 11_316, 2, 12
# What pytorch-metric-learning holds for each pair of items: of class and item for the head, of items for map.
PML_HEAD_PAIR_BYTES = 2
PML_PAIR_BYTES = 75

Score = Callable[[Tensor, Tensor], Any]


def clustered(items: int, dim: int, closeness: float = 3.0) -> tuple[Tensor, Tensor]:
    """Embeddings and labels. Items of a class are as similar as `closeness` standard deviations of the
    similarity of unrelated items, 1/√dim: one number makes tasks of any dimension about as hard."""
    generator = torch.Generator().manual_seed(0)
    classes = round(items * SOP_CLASSES / SOP_ITEMS)
    places = torch.randperm((MOST - FEWEST) * classes, generator=generator) // (MOST - FEWEST)
    labels = torch.cat([torch.arange(classes).repeat(FEWEST), places[: items - FEWEST * classes]])
    labels = labels[torch.randperm(items, generator=generator)]
    centres = torch.randn(classes, dim, generator=generator)
    embeddings = torch.randn(items, dim, generator=generator).mul_(math.sqrt(math.sqrt(dim) / closeness - 1))
    # Piece by piece: the peak is to be that of the scoring.
    for rows, of in zip(embeddings.split(4096), labels.split(4096), strict=True):
        rows += centres[of]
    return embeddings.to(DEVICE), labels.to(DEVICE)


def ours(embeddings: Tensor, labels: Tensor) -> dict[str, float]:
    return score(embeddings, labels, metrics=METRICS).metrics


def ours_without_numba(embeddings: Tensor, labels: Tensor) -> dict[str, float]:
    with mock.patch("dmlbench.score.counting.has_numba", return_value=False):
        return ours(embeddings, labels)


def bare(embeddings: Tensor, labels: Tensor, queries: int | None = None) -> None:
    """`queries` in one product; None takes as many as `score` does."""
    height = queries or tile_queries(len(embeddings))
    unit = F.normalize(embeddings)
    block = unit.new_empty(height, len(unit))
    for some in unit.split(height):
        torch.mm(some, unit.T, out=block[: len(some)])


def faiss_module() -> Any:
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    return faiss


def faiss_search(embeddings: Tensor, labels: Tensor, k: int) -> None:
    faiss = faiss_module()
    unit = F.normalize(embeddings)
    index = faiss.IndexFlatIP(unit.shape[1])
    if DEVICE.type == "cuda":
        import faiss.contrib.torch_utils  # it searches tensors where they are

        index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    else:
        unit = unit.numpy()
    index.add(unit)
    index.search(unit, k + 1)  # each finds itself


def pml(
    embeddings: Tensor, labels: Tensor, search: str, include: list[str], k: str | None
) -> dict[str, float]:
    faiss = faiss_module()
    from pytorch_metric_learning.distances import DotProductSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN, FaissKNN

    dot = DotProductSimilarity(normalize_embeddings=False)
    searches = {
        "FaissKNN": FaissKNN,
        "FaissKNN, inner product": lambda: FaissKNN(index_init_fn=faiss.IndexFlatIP),
        "CustomKNN": lambda: CustomKNN(dot),
        "CustomKNN, batches of 1,000": lambda: CustomKNN(dot, batch_size=1000),
    }
    calculator = AccuracyCalculator(include=include, k=k, knn_func=searches[search]())
    return calculator.get_accuracy(F.normalize(embeddings), labels)


PML_HEAD = {
    "precision_at_1": "recall_at_1",
    "r_precision": "r_precision",
    "mean_average_precision_at_r": "map_at_r",
}
pml_head = partial(pml, include=list(PML_HEAD), k="max_bin_count")
pml_map = partial(pml, include=["mean_average_precision"], k=None)


@dataclass(frozen=True)
class Contender:
    settings: dict[str, Score]
    """Ways to run it; the quickest on the same items is timed."""
    most_items: int | None = None
    needs: tuple[str, ...] = ()
    pair_bytes: int = 0
    """Memory for each pair of items, where it holds all pairs."""
    cpu_only: bool = False
    gpu_by_faiss: bool = False

    def reason_against(self, items: int) -> str | None:
        """Why it cannot be timed on so many items."""
        for module in self.needs:
            if importlib.util.find_spec(module) is None:
                return f"{module} is not installed"
        on_gpu = DEVICE.type == "cuda"
        if on_gpu and self.gpu_by_faiss and not hasattr(faiss_module(), "StandardGpuResources"):
            return "this faiss has no GPU support"
        if on_gpu and self.cpu_only:
            return "of interest on a CPU only"
        if self.most_items and items > self.most_items:
            return f"timed up to {self.most_items:,} items"
        wanted, free = self.pair_bytes * items**2 / 2**30, free_bytes(DEVICE) / 2**30
        if wanted > 0.9 * free:
            return f"takes about {wanted:.0f} GiB, {self.pair_bytes} bytes a pair; {free:.0f} GiB are free"
        return None


BARE = {"our tile": bare, "1,024 queries": partial(bare, queries=1024)}
HEAD_SEARCHES = ("FaissKNN, inner product", "CustomKNN, batches of 1,000")
MAP_SEARCHES = ("FaissKNN", "FaissKNN, inner product", "CustomKNN")
FAISS, PML = ("faiss",), ("faiss", "pytorch_metric_learning")
CONTENDERS = {
    "ours": Contender({"": ours}),
    "ours, no numba": Contender({"": ours_without_numba}, 20_000, cpu_only=True),
    "bare products": Contender(BARE),
    "faiss, first 100": Contender({"": partial(faiss_search, k=100)}, needs=FAISS, gpu_by_faiss=True),
    "faiss, first 1000": Contender({"": partial(faiss_search, k=1000)}, 20_000, FAISS, gpu_by_faiss=True),
    "pml, head": Contender(
        {name: partial(pml_head, search=name) for name in HEAD_SEARCHES},
        needs=PML,
        pair_bytes=PML_HEAD_PAIR_BYTES,
    ),
    "pml, map": Contender(
        {name: partial(pml_map, search=name) for name in MAP_SEARCHES}, needs=PML, pair_bytes=PML_PAIR_BYTES
    ),
}
