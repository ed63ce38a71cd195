"""Multi-class N-pair loss."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional


def n_pair(
    anchors: Float[Tensor, "anchors dim"],
    refs: Float[Tensor, "refs dim"],
    ref_labels: Int[Tensor, " refs"],
    positives: Bool[Tensor, "anchors refs"],
    generator: torch.Generator,
    *,
    form: Literal["mc", "ovo"] = "mc",
    symmetric: bool = False,
) -> Float[Tensor, ""] | None:
    """One anchor f_i and one positive g_i of each class, with s_ij = <f_i, g_j> (Sohn 2016).

    `form="mc"`: log(1 + sum over other classes j of exp(s_ij - s_ii)), cross-entropy over a row of s.
    `form="ovo"`: the sum over j of log(1 + exp(s_ij - s_ii)). Divisor: the classes with a pair; None when
    there is none. `symmetric` takes the mean with the transposed s, which is not in the paper.

    The paper's embeddings are raw: the term needs `view = "raw"`. The sampler `n-pair` draws one pair a
    class and says with its role which image is the positive (`refs = "is_positive"`). Of a class with more
    pairs one is picked at random, and the other images take no part.
    """
    anchor, positive = _one_pair_a_class(positives, ref_labels, generator)
    if len(anchor) == 0:
        return None
    similarity = anchors[anchor] @ refs[positive].T
    value = _one_way(similarity, form)
    return (value + _one_way(similarity.T, form)) / 2 if symmetric else value


def _one_way(similarity: Float[Tensor, "pairs pairs"], form: str) -> Float[Tensor, ""]:
    if form == "mc":
        itself = torch.arange(len(similarity), device=similarity.device)
        return functional.cross_entropy(similarity, itself)
    gap = similarity - similarity.diagonal()[:, None]
    others = ~torch.eye(len(gap), dtype=torch.bool, device=gap.device)
    return (torch.logaddexp(gap, torch.zeros_like(gap)) * others).sum() / len(gap)


def _one_pair_a_class(
    positives: Bool[Tensor, "anchors refs"], ref_labels: Int[Tensor, " refs"], generator: torch.Generator
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """Positions of an anchor and a ref of each class that has a positive pair, by ascending class."""
    anchor, ref = positives.nonzero(as_tuple=True)
    shuffled = torch.randperm(len(anchor), generator=generator).to(anchor.device)
    anchor, ref = anchor[shuffled], ref[shuffled]
    order = ref_labels[ref].argsort(stable=True)
    label = ref_labels[ref[order]]
    first = torch.ones_like(label, dtype=torch.bool)
    first[1:] = label[1:] != label[:-1]
    return anchor[order[first]], ref[order[first]]
