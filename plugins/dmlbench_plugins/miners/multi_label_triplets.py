"""Few triplets of a multi-label batch: diverse anchors, and for each relevant, hard and diverse partners."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from dmlbench.api import Triplets, UsageError


class MultiLabelTriplets(nn.Module):
    """Anchors by the farthest-point rule; all triplets of each with few partners, chosen one after the other,
    each the best by

        relevance_weight * rel + hardness_weight * hard + diversity_weight * div

    A positive is relevant (rel) when its labels are like the anchor's, and hard when it is far; a negative
    the other way round. div is the distance to the nearest partner of its kind chosen before it.
    Distances are of `embeddings`, in the term's view (`raw`: as they leave the network), as shares of the
    batch's largest.

    Sumbul, Ravanbakhsh, Demir 2022, arXiv 2105.03647: the two steps are the paper's, the scores are rebuilt
    from its description. So is what happens to an anchor that shares a label with every row: those at most
    `fallback_similarity` alike become its negatives. Memory O(rows^2). Raises `UsageError` for an
    `anchor_share` outside ]0, 1] and for less than one partner.
    """

    def __init__(
        self,
        *,
        anchor_share: float = 0.1,
        positives_per_anchor: int = 5,
        negatives_per_anchor: int = 5,
        relevance_weight: float = 1.0,
        hardness_weight: float = 1.0,
        diversity_weight: float = 1.0,
        label_similarity: Literal["jaccard", "cosine"] = "jaccard",
        fallback_similarity: float = 0.25,
    ) -> None:
        super().__init__()
        if not 0 < anchor_share <= 1:
            raise UsageError(f"anchor_share = {anchor_share} is no share", way_out="above 0, up to 1")
        for name, number in (
            ("positives_per_anchor", positives_per_anchor),
            ("negatives_per_anchor", negatives_per_anchor),
        ):
            if number < 1:
                raise UsageError(f"{name} = {number} makes no triplets", way_out="1 or more")
        self.anchor_share = anchor_share
        self.positives = positives_per_anchor
        self.negatives = negatives_per_anchor
        self.weights = relevance_weight, hardness_weight, diversity_weight
        self.label_similarity = label_similarity
        self.fallback_similarity = fallback_similarity

    def forward(
        self,
        embeddings: Float[Tensor, "rows dim"],
        relevance: Bool[Tensor, "rows labels"],
        positives: Bool[Tensor, "rows rows"],
        negatives: Bool[Tensor, "rows rows"],
        generator: torch.Generator,
    ) -> Triplets:
        rows = len(embeddings)
        # By differences: a product loses the small distances of rows far from the origin.
        distance = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
        distance = distance / distance.max().clamp(min=torch.finfo(distance.dtype).tiny)
        first = int(torch.randint(rows, (1,), generator=generator))
        anchors = diverse_anchors(distance, first, max(1, round(self.anchor_share * rows)))

        has = relevance.to(distance.dtype)
        alike = alikeness(has[anchors], has, self.label_similarity)
        right, wrong = positives[anchors], negatives[anchors]
        unlike = right & ~wrong.any(dim=1, keepdim=True) & (alike <= self.fallback_similarity)
        right, wrong = right & ~unlike, wrong | unlike

        l_r, l_h, l_d = self.weights
        far = distance[anchors]
        p, is_p = best_in_turn(l_r * alike + l_h * far, right, self.positives, distance, l_d)
        n, is_n = best_in_turn(l_r * (1 - alike) + l_h * (1 - far), wrong, self.negatives, distance, l_d)
        a, i, j = (is_p[:, :, None] & is_n[:, None, :]).nonzero(as_tuple=True)
        return Triplets(torch.stack([anchors[a], p[a, i], n[a, j]]))


def diverse_anchors(distance: Float[Tensor, "rows rows"], first: int, count: int) -> Int[Tensor, " anchors"]:
    """`first`, then in turn the row farthest from its nearest anchor; of equally far ones the lowest."""
    anchors = torch.empty(count, dtype=torch.int64, device=distance.device)
    nearest = torch.full_like(distance[0], torch.inf)
    anchors[0] = first
    for turn in range(1, count):
        last = anchors[turn - 1]
        nearest = torch.minimum(nearest, distance[last]).index_fill(0, last, -1)  # never an anchor again
        anchors[turn] = nearest.argmax()
    return anchors


def alikeness(
    anchors: Float[Tensor, "anchors labels"], refs: Float[Tensor, "refs labels"], kind: str
) -> Float[Tensor, "anchors refs"]:
    """Shared labels over all labels of both (`jaccard`) or sqrt(|a| |b|) (`cosine`); 0 without labels."""
    shared = anchors @ refs.T
    ours, theirs = anchors.sum(dim=1, keepdim=True), refs.sum(dim=1)
    whole = ours + theirs - shared if kind == "jaccard" else (ours * theirs).sqrt()
    return shared / whole.clamp(min=1)


def best_in_turn(
    score: Float[Tensor, "anchors rows"],
    candidates: Bool[Tensor, "anchors rows"],
    count: int,
    distance: Float[Tensor, "rows rows"],
    diversity_weight: float,
) -> tuple[Int[Tensor, "anchors count"], Bool[Tensor, "anchors count"]]:
    """Each anchor's best candidates in the order of their choice, and whether there was one left to choose.

    A candidate's worth is its score and, from the second turn on, its distance to the nearest one chosen
    before. Of equally good ones the lowest.
    """
    places, chosen, worth, nearest = [], [], score, None
    for _ in range(count):
        place = worth.masked_fill(~candidates, -torch.inf).argmax(dim=1, keepdim=True)
        places.append(place)
        chosen.append(candidates.gather(1, place))
        candidates = candidates.scatter(1, place, False)
        to_last = distance[place[:, 0]]
        nearest = to_last if nearest is None else torch.minimum(nearest, to_last)
        worth = score + diversity_weight * nearest
    return torch.cat(places, dim=1), torch.cat(chosen, dim=1)
