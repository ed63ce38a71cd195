"""Gaussian structure loss: every class an isotropic Gaussian of one width."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from dmlbench.api import UsageError


def gaussian_structure(
    embeddings: Float[Tensor, "rows dim"],
    labels: Int[Tensor, " rows"],
    generator: torch.Generator,
    *,
    sigma: float = 0.5,
    mixing: Literal["none", "soft", "code"] = "soft",
) -> Float[Tensor, ""]:
    """Squared error between each row's posterior and its class (Marrero Fernandez et al. 2020).

    The posterior is that of Gaussians of width `sigma` and equal weight around the class means m_c of the
    batch, p_c = softmax over the classes present of -|z - m_c|^2 / (2 sigma^2); the gradient goes through the
    means too. The error is a sum over the classes. Its view is `raw`: unit rows are too near to each other.

    Mixing appends a convex combination of each row with another one, its share drawn once a batch from
    Beta(2, 2). Its target is the same combination. In the authors' "code" only rows of one class have a
    target, all others 0 throughout, and those that have one count in their class's mean.

    Divisor: the rows, mixed ones too. One class alone: 0.
    """
    if not sigma > 0:
        raise UsageError(f"sigma = {sigma}", way_out="a width above 0")
    classes, own = labels.unique(return_inverse=True)
    target = functional.one_hot(own, len(classes)).to(embeddings.dtype)
    rows, members = embeddings, target
    if mixing != "none":
        # The middle one of three uniform numbers has the distribution Beta(2, 2).
        share = float(torch.rand(3, generator=generator).median())
        other = torch.randperm(len(labels), generator=generator).to(labels.device)
        mixed = share * embeddings + (1 - share) * embeddings[other]
        mixed_target = share * target + (1 - share) * target[other]
        rows = torch.cat([embeddings, mixed])
        if mixing == "code":
            mixed_target = target * (own == own[other])[:, None]
            members = torch.cat([target, mixed_target])
        target = torch.cat([target, mixed_target])
    means = members.T @ rows[: len(members)] / members.sum(dim=0)[:, None]
    return (posterior(rows, means, sigma) - target).square().sum(dim=1).mean()


def posterior(
    rows: Float[Tensor, "n dim"], means: Float[Tensor, "class dim"], sigma: float
) -> Float[Tensor, "n class"]:
    """The share of each Gaussian in a row's density; their weights and widths are equal.

    >>> posterior(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.5], [1.5]]), 1.0)
    tensor([[0.7311, 0.2689],
            [0.5000, 0.5000]])
    """
    origin = means.detach().mean(dim=0)  # products of long rows lose small distances
    x, m = rows - origin, means - origin
    # |x|^2 is the same for all classes.
    return ((x @ m.T - m.square().sum(dim=1) / 2) / sigma**2).softmax(dim=1)
