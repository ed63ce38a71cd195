"""What a protocol measures on one side: its form decides how. All scores answer as `Scores` does."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from dmlbench.data.store import Part, TestLabels
from dmlbench.run.assemble import labels_of
from dmlbench.run.class_scores import ClassScores, class_scores
from dmlbench.run.gallery_scores import GalleryScores, gallery_scores
from dmlbench.run.known import Known
from dmlbench.run.pair_scores import PairScores, pair_scores
from dmlbench.run.shot_scores import Base, ShotScores, shot_scores
from dmlbench.score import Scores, score
from dmlbench.spec.protocol import Scored
from dmlbench.spec.run import RunSpec

Measured = Scores | PairScores | GalleryScores | ClassScores | ShotScores


def measured(
    spec: RunSpec,
    side: Scored,
    part: Part | TestLabels,
    embeddings: Float[Tensor, "item dim"],
    metrics: Sequence[str],
    known: Known | Base | None = None,
) -> Measured:
    """The protocol's `metrics` of one side's embeddings, which are row-aligned with `part`.

    `known` is what scores rest on beside: the training images (`Protocol.against_training`), or the classes
    that those of `part` are added to.
    """
    protocol = spec.protocol
    if protocol.classes is not None:
        assert isinstance(known, Known)
        return class_scores(spec, part, embeddings, metrics, known)
    if protocol.gallery is not None:
        return gallery_scores(spec, protocol.gallery, side, part, embeddings, metrics)
    if protocol.shots is not None:
        assert isinstance(known, Base)
        return shot_scores(spec, protocol.shots, side, part, embeddings, metrics, known)
    if protocol.pairs is None:
        assert protocol.tie_seed is not None
        assert protocol.lone is not None
        return score(
            embeddings,
            labels_of(spec, part),
            metrics=metrics,
            distance=spec.method.distance,
            tie_seed=protocol.tie_seed,
            lone=protocol.lone,
        )
    return pair_scores(spec, protocol.pairs, side, part, embeddings, metrics)
