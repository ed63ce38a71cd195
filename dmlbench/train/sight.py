"""What a term, a miner or an augmenter sees: its rows, and its anchors against its refs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from dmlbench.spec.method import Augmenter, Term
from dmlbench.train.memory import Memory
from dmlbench.train.rows import Rows, Which
from dmlbench.train.scope import Lazy, Scope


@dataclass(frozen=True)
class Sight:
    """A term's flags; the defaults are those of a term that sets none."""

    rows: Which = "all"
    refs: str = "same"
    own_copies: str = "positive"
    view: str = "unit"
    head: str = "main"

    @classmethod
    def of(cls, user: Term | Augmenter) -> Sight:
        if isinstance(user, Augmenter):
            return cls(head=user.head)
        return cls(user.rows, user.refs, user.own_copies, user.view, user.head)


@dataclass(frozen=True)
class _Side:
    """Anchors or refs: their views and what tells them apart."""

    views: dict[str, Tensor]
    labels: Int[Tensor, " n"] | None
    """The class of each; None where they have several labels, which are `relevance`."""
    relevance: Bool[Tensor, "n labels"] | None
    position: Int[Tensor, " n"]
    """Place among all rows of the step; -1 for remembered rows."""
    image: Int[Tensor, " n"]
    """Training index of the image."""


def scope_of(base: Scope, everything: Rows, sight: Sight, memory: Memory | None = None) -> Scope:
    """`base` plus the names of rows and pairs as `sight` has them."""
    seen = everything.select(sight.rows)
    scope = base.child(
        **seen.columns, **seen.views, source=seen.source, is_synthetic=Lazy(lambda: seen.is_synthetic)
    )
    if sight.view in seen.views:
        scope.set("embeddings", seen.views[sight.view])
    sides = Lazy(lambda: _sides(everything, seen, sight, memory))
    scope.set("_sides", sides)
    scope.set("anchors", Lazy(lambda: scope["_sides"][0].views[sight.view]))
    scope.set("refs", Lazy(lambda: scope["_sides"][1].views[sight.view]))
    scope.set("ref_labels", Lazy(lambda: scope["_sides"][1].labels))
    scope.set("ref_relevance", Lazy(lambda: scope["_sides"][1].relevance))
    scope.set("similarity", Lazy(lambda: _similarity(*scope["_sides"])))
    scope.set("_masks", Lazy(lambda: _masks(*scope["_sides"], exclude=sight.own_copies == "exclude")))
    scope.set("positives", Lazy(lambda: scope["_masks"][0]))
    scope.set("negatives", Lazy(lambda: scope["_masks"][1]))
    return scope


def _sides(everything: Rows, seen: Rows, sight: Sight, memory: Memory | None) -> tuple[_Side, _Side]:
    offset = everything.real if sight.rows == "synthetic" else 0
    whole = _side(seen, offset)
    if sight.refs == "same":
        return whole, whole
    if sight.refs in ("all", "real"):
        return whole, _side(everything.select(sight.refs), 0)
    if memory is not None:
        embeddings, labels, indices = memory.rows()
        views = {sight.view: torch.cat([whole.views[sight.view], embeddings])}
        if sight.view == "unit" or "unit" in whole.views:
            past = torch.nn.functional.normalize(embeddings, dim=-1)
            views["unit"] = torch.cat([whole.views["unit"], past])
        position = torch.cat([whole.position, torch.full_like(indices, -1)])
        images = torch.cat([whole.image, indices])
        if whole.relevance is not None:
            return whole, _Side(views, None, torch.cat([whole.relevance, labels]), position, images)
        return whole, _Side(views, torch.cat([whole.labels, labels]), None, position, images)
    role = seen.columns[sight.refs]
    return _pick(whole, ~role), _pick(whole, role)


def _side(rows: Rows, offset: int) -> _Side:
    position = torch.arange(offset, offset + len(rows), device=rows.source.device)
    labels, relevance = (rows.columns.get(name) for name in ("labels", "relevance"))
    return _Side(dict(rows.views), labels, relevance, position, rows.columns["indices"])


def _pick(side: _Side, mask: Bool[Tensor, " n"]) -> _Side:
    labels, relevance = (None if values is None else values[mask] for values in (side.labels, side.relevance))
    views = {name: view[mask] for name, view in side.views.items()}
    return _Side(views, labels, relevance, side.position[mask], side.image[mask])


def _similarity(anchors: _Side, refs: _Side) -> Tensor:
    return anchors.views["unit"] @ refs.views["unit"].T


def _masks(
    anchors: _Side, refs: _Side, *, exclude: bool
) -> tuple[Bool[Tensor, "anchors refs"], Bool[Tensor, "anchors refs"]]:
    """Positives and negatives. An anchor is never its own positive: by index, never by value."""
    if anchors.relevance is not None and refs.relevance is not None:
        same = (anchors.relevance.float() @ refs.relevance.float().T) > 0
    else:
        same = anchors.labels[:, None] == refs.labels
    itself = anchors.position[:, None] == refs.position
    if exclude:
        itself = itself | (anchors.image[:, None] == refs.image)
    return same & ~itself, ~same
