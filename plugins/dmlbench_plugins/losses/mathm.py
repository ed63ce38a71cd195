"""Modality-aware triplet hard mining (MATHM)."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

_SMALLEST_SQUARE = 1e-12
"""Keeps the square root's gradient finite for identical rows."""


def mathm(
    embeddings: Float[Tensor, "rows dim"],
    labels: Int[Tensor, " rows"],
    domain: Int[Tensor, " rows"],
    progress: float,
    *,
    margin: float = 0.2,
    sharpness: float = 20.0,
    least_gradient: float = 0.1,
    released: bool = False,
    warm_up: float = 0.0,
) -> dict[str, Float[Tensor, ""]] | None:
    """Soft hinges within a domain, across domains and of both, each weighted by how little it still moves.

    With the hinges D of `hinges_of` and b = `sharpness`, for each part p (Huang et al. 2021; the authors'
    code, `huangzongheng/MATHM`):

        l_p = mean log(1 + exp(b D)) / b,   g_p = mean sigmoid(b D),
        w_p = mean of all g / max(g_p, least_gradient)

    The loss is the mean of w_p l_p over the parts; no gradient goes through w. Divisor of l and g: the
    anchors that have both partners of the part; a part without any is left out. None when all are.

    `released`, as the code computes it: the weights are summed before they meet the parts, so that no part
    is weighted by itself and the whole grows about threefold; gradient goes through them; the divisor is the
    rows, and an anchor that lacks a partner counts as 0.

    In the first `warm_up` of the budget nothing counts, so that other terms can teach the network something
    first: hardest triplets of one that knows nothing may put all rows in one place.
    """
    if progress < warm_up:
        return None
    values, gradients = {}, {}
    for part, gap in hinges_of(embeddings, labels, domain, margin).items():
        counted = gap if released else gap[gap != -torch.inf]
        if len(counted):
            values[part] = functional.softplus(sharpness * counted).mean() / sharpness
            gradients[part] = torch.sigmoid(sharpness * counted).mean()
    if not values or (released and not bool(torch.stack(list(gradients.values())).any())):
        return None
    each = torch.stack(list(gradients.values()))
    weights = each.mean() / each.clamp(min=least_gradient)
    weights = weights.sum().expand(len(each)) if released else weights.detach()
    return {part: weight * values[part] / len(values) for part, weight in zip(values, weights, strict=True)}


def mathm_hinges(
    embeddings: Float[Tensor, "rows dim"],
    labels: Int[Tensor, " rows"],
    domain: Int[Tensor, " rows"],
    progress: float,
    *,
    part: Literal["all", "within", "across", "hybrid"] = "all",
    margin: float = 0.2,
    warm_up: float = 0.0,
) -> Float[Tensor, ""] | None:
    """The parts of `mathm` as plain hinges, one or all of them, unweighted.

    Divisor: the hinges whose anchor has both partners. None when there are none, and while it warms up.
    """
    if progress < warm_up:
        return None
    found = hinges_of(embeddings, labels, domain, margin)
    gaps = torch.cat(list(found.values())) if part == "all" else found[part]
    counted = gaps[gaps != -torch.inf]
    return functional.relu(counted).mean() if len(counted) else None


def hinges_of(
    embeddings: Float[Tensor, "rows dim"],
    labels: Int[Tensor, " rows"],
    domain: Int[Tensor, " rows"],
    margin: float,
) -> dict[str, Float[Tensor, " anchors"]]:
    """Farthest positive minus nearest negative plus margin, every row as anchor; -inf where one is lacking.

    `within`: both are of the anchor's domain. `across`: both are of another one. `hybrid`: the positive is
    of another domain, the negative of the anchor's own. A row counts as its own positive, which matters to
    `within` alone, where it is the only one of its class and domain.
    """
    same, own = labels[:, None] == labels, domain[:, None] == domain
    with torch.no_grad():
        distances = torch.cdist(embeddings, embeddings)
        far = {name: distances.masked_fill(~(same & mask), -torch.inf) for name, mask in _sides(own)}
        near = {name: distances.masked_fill(same | ~mask, torch.inf) for name, mask in _sides(own)}
    positive = {name: _distance(embeddings, found.max(dim=1)) for name, found in far.items()}
    negative = {name: _distance(embeddings, found.min(dim=1)) for name, found in near.items()}

    def gaps(one: str, other: str) -> Float[Tensor, " anchors"]:
        (apart, there), (close, here) = positive[one], negative[other]
        return torch.where(there & here, apart - close + margin, -torch.inf)

    return {"within": gaps("own", "own"), "across": gaps("other", "other"), "hybrid": gaps("other", "own")}


def _sides(own: Bool[Tensor, "anchors refs"]) -> tuple[tuple[str, Bool[Tensor, "anchors refs"]], ...]:
    return ("own", own), ("other", ~own)


def _distance(
    embeddings: Float[Tensor, "rows dim"], hardest: torch.return_types.max | torch.return_types.min
) -> tuple[Float[Tensor, " anchors"], Bool[Tensor, " anchors"]]:
    """The distance to the chosen row, with gradient, and whether there is one."""
    apart = (embeddings - embeddings[hardest.indices]).square().sum(dim=1)
    return apart.clamp(min=_SMALLEST_SQUARE).sqrt(), ~hardest.values.isinf()
