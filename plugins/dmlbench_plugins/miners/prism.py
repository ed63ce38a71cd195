"""PRISM: rows that fit what is remembered of their class too little are left out of the batch."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from dmlbench.api import Pairs, UsageError


class Prism(nn.Module):
    """All pairs of rows that fit their class (Liu et al. 2021, with class centres and a smooth threshold).

    Row x fits its class y by P = exp(w_y x) / sum_k exp(w_k x): w_k is the mean of the unit embeddings of
    class k among the `memory` last rows that were kept, the sum is over classes that have some. A row is kept
    when P is above the threshold, or its class has no centre yet. The threshold is the mean over `window`
    batches of the largest P among the `noise_rate` x rows that fit worst; a batch of which nothing would be
    left sets it anew. Refs are judged like rows; a term's view is `unit`, its refs are not those of a role.

    The authors' code moves the centres of the last batch's classes alone and counts classes that it does not
    know as exp(0); here centres are the memory's, and only those count. `noise_rate` stands for the true one.
    """

    def __init__(
        self,
        num_samples: int,
        num_classes: int,
        embedding_dim: int,
        *,
        noise_rate: float = 0.5,
        memory: int = 8192,
        window: int = 30,
    ) -> None:
        super().__init__()
        if memory < 1 or window < 1 or not 0 < noise_rate < 1:
            raise UsageError(
                f"memory = {memory}, window = {window}, noise_rate = {noise_rate}",
                way_out="memory and window of at least 1, a noise_rate between 0 and 1",
            )
        self.noise_rate = noise_rate
        self.num_classes = num_classes
        self.register_buffer("remembered", torch.zeros(memory, embedding_dim))
        self.register_buffer("classes", torch.full((memory,), -1, dtype=torch.int64))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))
        self.register_buffer("thresholds", torch.full((window,), torch.nan))
        self.register_buffer("left_out", torch.zeros(num_samples, dtype=torch.bool))

    def forward(
        self,
        unit: Float[Tensor, "rows dim"],
        labels: Int[Tensor, " rows"],
        indices: Int[Tensor, " rows"],
        refs: Float[Tensor, "refs dim"],
        ref_labels: Int[Tensor, " refs"],
        positives: Bool[Tensor, "rows refs"],
        negatives: Bool[Tensor, "rows refs"],
    ) -> Pairs:
        if len(positives) != len(unit):
            raise UsageError("prism judges every row", way_out='refs = "same", "all", "real" or "memory"')
        centres, known = self.centres()
        fit, ref_fit = _fit(unit, labels, centres, known), _fit(refs, ref_labels, centres, known)
        threshold = self._threshold(fit)
        kept = ~(fit <= threshold)  # NaN is kept, so that the loss shows it
        self.left_out[indices] = ~kept
        self._remember(unit[kept], labels[kept])
        both = kept[:, None] & ~(ref_fit <= threshold)
        return Pairs(*(torch.stack((mask & both).nonzero(as_tuple=True)) for mask in (positives, negatives)))

    def dropped(self) -> Bool[Tensor, " num_samples"]:
        """What was decided when each image was seen last."""
        return self.left_out

    def centres(self) -> tuple[Float[Tensor, "class dim"], Bool[Tensor, " class"]]:
        """The mean of what is remembered of each class, and whether anything is."""
        filled = self.classes >= 0
        classes = self.classes[filled]
        sums = self.remembered.new_zeros(self.num_classes, self.remembered.shape[1])
        counts = torch.bincount(classes, minlength=self.num_classes)
        return sums.index_add_(0, classes, self.remembered[filled]) / counts.clamp(min=1)[:, None], counts > 0

    def _threshold(self, fit: Float[Tensor, " rows"]) -> Float[Tensor, ""]:
        """What a row's fit has to be above; nothing, before most classes of a batch have a centre."""
        worst = fit.sort().values[: int(self.noise_rate * len(fit))]
        if len(worst) and worst[-1] < 1:
            self.thresholds.copy_(torch.cat([self.thresholds[1:], worst[-1:]]))
            if (fit <= self.thresholds.nanmean()).all():
                self.thresholds[:-1] = torch.nan
        return self.thresholds.nanmean().nan_to_num(-torch.inf)

    def _remember(self, unit: Float[Tensor, "kept dim"], labels: Int[Tensor, " kept"]) -> None:
        """The oldest rows give way."""
        size = len(self.classes)
        unit, labels = unit[-size:], labels[-size:]
        places = (self.pushed + torch.arange(len(labels), device=labels.device)) % size
        self.remembered[places] = unit.to(self.remembered.dtype)
        self.classes[places] = labels
        self.pushed += len(labels)


def _fit(
    unit: Float[Tensor, "n dim"],
    labels: Int[Tensor, " n"],
    centres: Float[Tensor, "class dim"],
    known: Bool[Tensor, " class"],
) -> Float[Tensor, " n"]:
    """P of each row; 1 where the class has no centre."""
    probability = (unit @ centres.T).masked_fill(~known, -torch.inf).softmax(dim=1)
    return torch.where(known[labels], probability.gather(1, labels[:, None])[:, 0], 1.0)
