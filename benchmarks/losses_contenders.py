"""What `losses.py` times: embeddings, the floor, our losses as core calls them, and another library's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlbench.protocols import load_track
from dmlbench.run.methods import resolve_method
from dmlbench.spec.component import Component
from dmlbench.spec.method import Method, Term
from dmlbench.train.calls import Calls
from dmlbench.train.numerics import Numerics
from dmlbench.train.objective import part_value
from dmlbench.train.recipe import Recipe
from dmlbench.train.rows import Rows
from dmlbench.train.scope import Scope

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PER_CLASS, GROUPS = 4, 8
MOMENT = {"epoch": 0, "step": 0, "progress": 0.0}

#: Raw embeddings in, the loss out; on the way it is differentiated.
Step = Callable[[Tensor], Tensor]


def clustered(rows: int, dim: int) -> Tensor:
    """Raw embeddings, PER_CLASS of each class, one class after another.

    Classes lie in groups, and so near to each other in their group that every miner finds something.
    """
    generator = torch.Generator().manual_seed(0)
    classes = rows // PER_CLASS
    groups = torch.randn(GROUPS, dim, generator=generator)[torch.arange(classes) % GROUPS]
    centres = groups + 0.5 * torch.randn(classes, dim, generator=generator)
    noise = torch.randn(rows, dim, generator=generator)
    return (centres.repeat_interleave(PER_CLASS, dim=0) + noise).to(DEVICE).requires_grad_()


def labels_of(rows: int) -> Tensor:
    return (torch.arange(rows) // PER_CLASS).to(DEVICE)


def floor(rows: int, dim: int) -> Step:
    """What every loss of all pairs does: normalise, multiply, and the products of the way back."""
    gradient = torch.randn(rows, rows, generator=torch.Generator().manual_seed(1)).to(DEVICE)

    def step(raw: Tensor) -> Tensor:
        unit = F.normalize(raw, dim=1)
        similarity = unit @ unit.T
        torch.autograd.grad(similarity, raw, gradient)
        return similarity.detach()[0, 0]

    return step


def of(loss: str, miner: str | None = None, view: str = "unit", **settings: Any) -> Method:
    """A recipe of one loss."""
    term = Term(component=f"dmlbench:{loss}", miner=miner and "miner", view=view, settings=settings)
    miners = {"miner": Component(component=f"dmlbench:{miner}")} if miner else {}
    return Method(id="one", summary="", fidelity="baseline", miners=miners, terms={"loss": term})


def ours(method: Method, rows: int, dim: int) -> Step:
    """The terms of a recipe and what core makes for them: unit rows, masks, similarity, mined tuples."""
    track = load_track("emoji-conv4-32px-d128").model_copy(update={"dimension": dim, "batch_size": rows})
    facts = {
        "num_classes": rows // PER_CLASS,
        "num_samples": rows,
        "class_counts": torch.full((rows // PER_CLASS,), PER_CLASS),
        "steps": 1_000,
        "epoch_steps": 10,
        "batch_size": rows,
    }
    built = Recipe(method, track, facts, set(), Numerics(f"{DEVICE.type}-fp32"), 0, "dmlbench")
    for module in built.modules.values():
        module.to(DEVICE)
    own = [p for name, module in built.modules.items() if name != "model" for p in module.parameters()]
    learned = [parameter for parameter in own if parameter.requires_grad]
    calls = Calls(built, 0, {})
    place = torch.arange(rows, device=DEVICE)
    columns = {"labels": labels_of(rows), "indices": place}

    def step(raw: Tensor) -> Tensor:
        calls.begin(0)
        seen = Rows({"raw": raw, "unit": F.normalize(raw, dim=1)}, columns, place, rows)
        scope, total = Scope(values={**built.facts, **MOMENT}), raw.new_zeros(())
        for name, term in method.terms.items():
            value = part_value(
                name, calls.call(built.terms[name], "loss", calls.seen_by(name, scope, seen)), {}
            )
            if value is not None:
                total = total + float(term.weight) * value
        torch.autograd.grad(total, [raw, *learned], allow_unused=True)
        return total.detach()

    return step


def pml(loss: Callable[[Any, int], Any], miner: Callable[[Any], Any] | None, rows: int, dim: int) -> Step:
    """`loss` and `miner` make theirs from the library and the number of classes."""
    import pytorch_metric_learning as library
    from pytorch_metric_learning import distances, losses, miners  # noqa: F401

    criterion = loss(library, rows // PER_CLASS).to(DEVICE)
    chooses = None if miner is None else miner(library)
    labels = labels_of(rows)
    learned = list(criterion.parameters())

    def step(raw: Tensor) -> Tensor:
        chosen = None if chooses is None else chooses(raw, labels)
        value = criterion(raw, labels, chosen)
        torch.autograd.grad(value, [raw, *learned], allow_unused=True)
        return value.detach()

    return step


@dataclass(frozen=True)
class Contender:
    method: Method
    pml_loss: Callable[[Any, int], Any] | None = None
    pml_miner: Callable[[Any], Any] | None = None
    most_pml_rows: int = 1_024
    """Above, it takes more memory than most machines have."""

    def steps(self, rows: int, dim: int, peers: bool) -> dict[str, Step]:
        found = {"ours": ours(self.method, rows, dim)}
        if peers and self.pml_loss is not None and rows <= self.most_pml_rows:
            found["pml"] = pml(self.pml_loss, self.pml_miner, rows, dim)
        return found


def _raw(library: Any) -> Any:
    return library.distances.LpDistance(normalize_embeddings=False)


def _smooth(library: Any, classes: int) -> Any:
    return library.losses.TripletMarginLoss(margin=0, smooth_loss=True)


def _plain(name: str) -> Callable[[Any, int], Any]:
    return lambda library, classes: getattr(library.losses, name)()


def contenders() -> dict[str, Contender]:
    """By name: the loss, and after a comma its miner or what else is said of it."""
    # Positive pairs x negative pairs: 1.6 GB a tensor at 512 rows.
    few = 512
    distance, hard, easy = "distance-weighted", "batch-hard", "easy-positive"
    return {
        "contrastive": Contender(of("contrastive"), _plain("ContrastiveLoss")),
        "binomial-deviance": Contender(of("binomial-deviance")),
        "multi-similarity": Contender(
            of("multi-similarity"),
            lambda library, classes: library.losses.MultiSimilarityLoss(2, 40, 0.5),
            lambda library: library.miners.MultiSimilarityMiner(0.1),
        ),
        "pair-weighting": Contender(of("pair-weighting")),
        "pair-weighting, triplet": Contender(of("pair-weighting", weighting="triplet", epsilon=3)),
        "cbml": Contender(of("cbml")),
        "cbml, variance-constraint": Contender(resolve_method("dmlbench:cbml")[1]),
        "circle": Contender(of("circle"), _plain("CircleLoss")),
        "supcon": Contender(of("supcon"), _plain("SupConLoss")),
        "nt-xent": Contender(of("nt-xent"), _plain("NTXentLoss"), most_pml_rows=few),
        "lifted-structure": Contender(
            of("lifted-structure", view="raw"),
            lambda library, classes: library.losses.LiftedStructureLoss(distance=_raw(library)),
            most_pml_rows=few,
        ),
        "lifted-structure-generalised": Contender(
            of("lifted-structure-generalised", view="raw"),
            lambda library, classes: library.losses.GeneralizedLiftedStructureLoss(distance=_raw(library)),
        ),
        "margin-pairs": Contender(of("margin-pairs")),
        "margin, distance-weighted": Contender(
            of("margin", distance),
            lambda library, classes: library.losses.MarginLoss(learn_beta=True, num_classes=classes),
            lambda library: library.miners.DistanceWeightedMiner(),
        ),
        "margin-images, distance-weighted": Contender(of("margin-images", distance)),
        "triplet, semihard": Contender(
            of("triplet", "semihard"),
            _plain("TripletMarginLoss"),
            lambda library: library.miners.TripletMarginMiner(0.2, type_of_triplets="semihard"),
        ),
        "triplet-soft-margin, batch-hard": Contender(
            of("triplet-soft-margin", hard), _smooth, lambda library: library.miners.BatchHardMiner()
        ),
        "triplet-soft-margin, easy-positive": Contender(
            of("triplet-soft-margin", easy),
            _smooth,
            lambda library: library.miners.BatchEasyHardMiner("easy", "semihard"),
        ),
        "triplet-euclidean, batch-hard": Contender(
            of("triplet-euclidean", hard),
            lambda library, classes: library.losses.TripletMarginLoss(margin=0.2),
            lambda library: library.miners.BatchHardMiner(),
        ),
        "all-triplets": Contender(
            of("all-triplets"), lambda library, classes: library.losses.TripletMarginLoss(margin=0.2)
        ),
        "n-pair": Contender(of("n-pair"), _plain("NPairsLoss")),
    }
