"""How well a method found the wrong labels: precision and recall of what it leaves out."""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor


def drop_scores(right: Bool[Tensor, " item"], dropped: Bool[Tensor, " item"]) -> dict[str, float]:
    """`drop_precision`: of the items left out, the share with a wrong label; `drop_recall`: of those, the
    share left out. What has no item to be a share of is not there.

    >>> import torch
    >>> drop_scores(torch.tensor([True, False, False]), torch.tensor([True, True, False]))
    {'drop_precision': 0.5, 'drop_recall': 0.5}
    """
    wrong = ~right
    found = int((wrong & dropped).sum())
    of = {"drop_precision": int(dropped.sum()), "drop_recall": int(wrong.sum())}
    return {name: found / count for name, count in of.items() if count}
