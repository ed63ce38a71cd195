"""Contrastive loss."""

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

_NO_DISTANCE = 1e-6
"""Below fp32's resolution of distances between unit vectors: identical pictures, whose hinge is closed."""


def contrastive(
    similarity: Float[Tensor, "anchors refs"],
    positives: Bool[Tensor, "anchors refs"],
    negatives: Bool[Tensor, "anchors refs"],
    *,
    positive_margin: float = 0.0,
    negative_margin: float = 1.0,
) -> Float[Tensor, ""]:
    """Hinges on the Euclidean distances of unit vectors (Hadsell et al. 2006, without the squares).

    mean of [d - positive_margin]_+ over positive pairs plus mean of [negative_margin - d]_+ over negative
    pairs. Divisor: the pairs whose hinge is open, each kind by itself; a kind without any counts 0.
    """
    # The clamp keeps the square root's gradient finite for identical pictures.
    distance = (2 - 2 * similarity).clamp(min=_NO_DISTANCE**2).sqrt()
    pull = functional.relu(distance - positive_margin) * positives
    push = functional.relu(negative_margin - distance) * negatives
    return _mean_of_open(pull) + _mean_of_open(push)


def _mean_of_open(hinge: Float[Tensor, "anchors refs"]) -> Float[Tensor, ""]:
    return hinge.sum() / (hinge > 2 * _NO_DISTANCE).sum().clamp(min=1)
