"""What lies below the classes: scores of the hidden sub-classes, which the scorer alone opens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.data.store import Part, TestLabels
from dmlbench.run.class_scores import as_trained
from dmlbench.run.known import Known
from dmlbench.score import score
from dmlbench.score.subclasses import agreement, clustered, nearest_within
from dmlbench.spec.protocol import Classes
from dmlbench.spec.run import RunSpec

HIDDEN, FOUND = "hidden", "found"
"""What the names of scores begin with: of the embeddings, and of sub-classes that the method found itself."""
RETRIEVAL = ("recall_at_1", "map_at_r")


def hidden_scores(
    spec: RunSpec,
    rules: Classes,
    part: Part | TestLabels,
    embeddings: Float[Tensor, "item dim"],
    known: Known,
) -> dict[str, float]:
    """Retrieval and clustering of the hidden sub-classes; nothing where the data set has none.

    The side's items ask for their sub-class among all training images. Clusters are made of training images
    and the side's items together, inside each class as it truly is. Where the method found sub-classes, a
    training image is in the one that it was put into, an item of the side in the nearest one of its class.
    """
    column = rules.hidden
    if column not in part.columns:
        return {}
    hidden, known_hidden = _numbered(part.columns[column], known.part.columns[column])
    classes, known_classes = as_trained(spec, part, known), known.part.labels
    distance = spec.method.distance
    scores: dict[str, float] = {}
    if bool(torch.isin(hidden, known_hidden).any()):
        assert spec.protocol.tie_seed is not None
        found = score(
            embeddings,
            hidden,
            gallery=known.embeddings,
            gallery_labels=known_hidden,
            metrics=RETRIEVAL,
            distance=distance,
            tie_seed=spec.protocol.tie_seed,
        )
        scores |= {f"{HIDDEN}/{name}": value for name, value in found.metrics.items()}
    whole = torch.cat([known.embeddings, embeddings])
    all_classes, all_hidden = torch.cat([known_classes, classes]), torch.cat([known_hidden, hidden])
    made = clustered(whole, all_classes, all_hidden, distance, rules.seed)
    scores |= {f"{HIDDEN}/{name}": value for name, value in made.items()}
    if known.found is not None:
        near = nearest_within(embeddings, classes, known.embeddings, known_classes, known.found, distance)
        clusters = torch.cat([known.found, near])
        counted = clusters >= 0
        found_in = agreement(all_classes[counted], all_hidden[counted], clusters[counted], rules.seed)
        scores |= {f"{FOUND}/{name}": value for name, value in found_in.items()}
        scores[f"{FOUND}/subclasses"] = float(len(known.found[known.found >= 0].unique()))
    return scores


def _numbered(
    names: Sequence[str | int], known: Sequence[str | int]
) -> tuple[Int[Tensor, " item"], Int[Tensor, " training"]]:
    """Equal numbers for equal names, on both sides."""
    number = {name: place for place, name in enumerate(sorted({*map(str, names), *map(str, known)}))}
    found = [torch.tensor([number[str(name)] for name in column]) for column in (names, known)]
    return found[0], found[1]
