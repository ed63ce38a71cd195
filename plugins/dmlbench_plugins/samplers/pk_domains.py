"""P x K batches with a share for each domain."""

from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor, nn

from dmlbench.api import UsageError
from dmlbench_plugins.samplers.pk import PK


class PKDomains(nn.Module):
    """As many classes as fit the batch, of each `per_domain[d]` images of the domain d, in this order.

    Only classes with images of all domains are drawn; where one has too few of a domain, some come twice.
    Needs a protocol that shows domains. The rest is as in `PK` (SAKE and MATHM: 4 sketches and 4 photos).

    Raises `UsageError` when fewer classes than a batch needs have images of all domains.
    """

    def __init__(self, batch_size: int, *, per_domain: tuple[int, ...] = (4, 4)) -> None:
        super().__init__()
        if not per_domain or min(per_domain) < 1 or sum(per_domain) > batch_size:
            raise UsageError(f"per_domain = {per_domain} does not fit a batch of {batch_size}")
        self.classes = batch_size // sum(per_domain)
        self.of_domain = nn.ModuleList(PK(count, per_class=count) for count in per_domain)

    def draw(
        self,
        by_class: Mapping[int, Int[Tensor, " images"]],
        train_domain: Int[Tensor, " num_samples"],
        generator: torch.Generator,
    ) -> Int[Tensor, " batch"]:
        domains = range(len(self.of_domain))
        by_domain = ([images[train_domain[images] == d] for d in domains] for images in by_class.values())
        whole = [parts for parts in by_domain if all(map(len, parts))]
        if len(whole) < self.classes:
            raise UsageError(
                f"a batch needs {self.classes} classes with images of {len(domains)} domains, "
                f"the training set has {len(whole)}",
                way_out="more images of each (per_domain), or a track with a smaller batch",
            )
        chosen = torch.randperm(len(whole), generator=generator)[: self.classes].tolist()
        drawn = [
            images.draw({c: part}, generator)
            for c in chosen
            for images, part in zip(self.of_domain, whole[c], strict=True)
        ]
        return torch.cat(drawn)
