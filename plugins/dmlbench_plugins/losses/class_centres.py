"""Several centres a class: the similarity of rows to such a class, and how far its centres lie apart."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def class_similarity(
    embeddings: Float[Tensor, "rows dim"], centres: Float[Tensor, "class centre dim"], gamma: float
) -> Float[Tensor, "rows class"]:
    """sum over a class's centres of softmax(gamma s) s, s the cosines (Qian et al. 2019).

    `gamma` 0 is their mean, a large one their maximum. The gradient flows through the softmax too. The
    largest tensor has rows x classes x centres elements.
    """
    x = functional.normalize(embeddings, dim=1)
    p = functional.normalize(centres, dim=2)
    cosine = (x @ p.flatten(0, 1).T).unflatten(1, p.shape[:2])
    return ((gamma * cosine).softmax(dim=2) * cosine).sum(dim=2)


def centre_distance(centres: Float[Tensor, "class centre dim"]) -> Float[Tensor, ""]:
    """sqrt(2 + 1e-5 - 2 cos) over pairs of centres of one class. Divisor: the ordered pairs.

    1e-5 keeps the root's gradient finite when centres meet (the authors' code). One centre: 0.
    """
    count = centres.shape[1]
    if count == 1:
        return centres.sum() * 0.0
    p = functional.normalize(centres, dim=2)
    first, second = torch.triu_indices(count, count, offset=1, device=p.device)
    cosine = (p @ p.transpose(1, 2))[:, first, second]
    return (2 + 1e-5 - 2 * cosine).sqrt().mean()
