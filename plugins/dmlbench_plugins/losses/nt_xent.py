"""Normalised temperature-scaled cross-entropy."""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from dmlbench_plugins.losses.log_sum_exp import log_sum_exp


def nt_xent(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    temperature: float = 0.1,
) -> Float[Tensor, ""] | None:
    """-log of exp(s_ip / temperature) / (itself + the sum over i's negatives), of each positive pair (i, p).

    Chen et al. 2020, eq. 1, with labels in place of augmented views. An anchor's other positives are not in
    the denominator; they are in that of `supcon`, and the two are the same where a class has two pictures.
    Divisor: the positive pairs; None when there are none.
    """
    anchor, ref = positives.nonzero(as_tuple=True)
    if len(anchor) == 0:
        return None
    logits = similarity / temperature
    others = log_sum_exp(logits, negatives)
    return functional.softplus(others[anchor] - logits[anchor, ref]).mean()
