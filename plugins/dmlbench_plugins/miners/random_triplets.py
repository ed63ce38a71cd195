"""Random triplets."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from dmlbench.api import Triplets


def random_triplets(
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    generator: torch.Generator,
    *,
    per_anchor: int = 1,
) -> Triplets:
    """`per_anchor` triplets of each anchor that has both, drawn uniformly and with repetition."""
    anchors = (positives.any(dim=1) & negatives.any(dim=1)).nonzero()[:, 0]
    if len(anchors) == 0:
        return Triplets(anchors.new_empty(3, 0))

    def drawn(mask: Bool[Tensor, "anchors refs"]) -> Int[Tensor, " triplets"]:
        odds = mask[anchors].float().cpu()  # where the generator is
        places = torch.multinomial(odds, per_anchor, replacement=True, generator=generator)
        return places.flatten().to(anchors.device)

    return Triplets(torch.stack([anchors.repeat_interleave(per_anchor), drawn(positives), drawn(negatives)]))
