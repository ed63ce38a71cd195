"""Scores of queries against a gallery of other items: real-valued, by binary codes, and across domains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from dmlbench.data.gallery import Roles, roles_of
from dmlbench.data.store import DOMAIN, Part, TestLabels
from dmlbench.run.assemble import labels_of
from dmlbench.score import ClassSums, Scores, fit_itq, score
from dmlbench.score.modality_gap import modality_gap
from dmlbench.spec.protocol import Gallery, Scored
from dmlbench.spec.run import RunSpec

BITS = 64
CODES = f"bits{BITS}/"
"""What the names of metrics of binary codes begin with."""


@dataclass(frozen=True)
class GalleryScores:
    """It answers as `Scores` does; class sums are those of the queries."""

    metrics: dict[str, float]
    metric_versions: dict[str, int]
    plain: Scores
    roles: Roles
    gap: dict[str, float]
    """How much farther a class's items are across domains than within; empty where roles are no domains."""

    @property
    def queries(self) -> int:
        return self.plain.queries

    @property
    def skipped(self) -> int:
        return self.plain.skipped

    def class_sums(self, labels: Int[Tensor, " item"], names: Iterable[str]) -> ClassSums:
        return self.plain.class_sums(labels[self.roles.queries], names)

    def said(self) -> dict[str, object]:
        """What stands beside the scores: how many ask, how many are searched."""
        return {"queries": len(self.roles.queries), "gallery": len(self.roles.gallery)}


def gallery_scores(
    spec: RunSpec,
    rules: Gallery,
    side: Scored,
    part: Part | TestLabels,
    embeddings: Float[Tensor, "item dim"],
    metrics: Sequence[str],
) -> GalleryScores:
    """`metrics` of the side's queries; those of codes are called `bits64/…`.

    Codes are by iterative quantisation, fitted to the gallery, which is all that is there before a query
    comes. Their many ties are settled by the protocol's permutation: `map_voc` knows no mean over orders.
    """
    protocol = spec.protocol
    assert protocol.tie_seed is not None
    assert protocol.lone is not None
    roles = roles_of(rules, side, part, f"task {spec.task.id}")
    labels = labels_of(spec, part)
    asking, asked = (embeddings[items] for items in (roles.queries, roles.gallery))
    known = labels[roles.queries], labels[roles.gallery]
    wanted = [name for name in metrics if not name.startswith(CODES)]
    plain = score(
        asking,
        known[0],
        gallery=asked,
        gallery_labels=known[1],
        metrics=wanted,
        distance=spec.method.distance,
        tie_seed=protocol.tie_seed,
        lone=protocol.lone,
    )
    values, versions = dict(plain.metrics), dict(plain.metric_versions)
    of_codes = [name.removeprefix(CODES) for name in metrics if name.startswith(CODES)]
    if of_codes:
        itq = fit_itq(asked, BITS, seed=rules.seed)
        coded = score(
            itq.codes(asking),
            known[0],
            gallery=itq.codes(asked),
            gallery_labels=known[1],
            metrics=of_codes,
            distance="hamming",
            ties=protocol.ties,
            tie_seed=protocol.tie_seed,
            lone=protocol.lone,
        )
        values |= {CODES + name: value for name, value in coded.metrics.items()}
        versions |= {CODES + name: version for name, version in coded.metric_versions.items()}
    gap = modality_gap(asking, known[0], asked, known[1]) if rules.column == DOMAIN else {}
    return GalleryScores(
        {name: values[name] for name in metrics},
        {name: versions[name] for name in metrics},
        plain,
        roles,
        gap,
    )
