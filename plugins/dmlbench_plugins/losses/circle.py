"""Circle loss."""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from dmlbench_plugins.losses.log_sum_exp import log_sum_exp


def circle(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    margin: float = 0.4,
    scale: float = 80.0,
) -> Float[Tensor, ""] | None:
    """Each similarity weighted by how far it is from its optimum (Sun et al. 2020, eq. 6 to 8):

        log(1 + sum over n of exp(scale a_n (s_n - margin)) * sum over p of exp(scale a_p (1 - margin - s_p)))
        a_n = [s_n + margin]_+,  a_p = [1 + margin - s_p]_+

    The weights a carry no gradient. Divisor: the anchors with a positive and a negative; None when there are
    none. (pytorch-metric-learning divides by those whose loss is not 0.) Defaults: the paper's for retrieval.
    """
    counted = positives.any(dim=1) & negatives.any(dim=1)
    if not counted.any():
        return None
    held = similarity.detach()
    push = scale * functional.relu(held + margin) * (similarity - margin)
    pull = scale * functional.relu(1 + margin - held) * (1 - margin - similarity)
    return functional.softplus(log_sum_exp(push, negatives) + log_sum_exp(pull, positives))[counted].mean()
