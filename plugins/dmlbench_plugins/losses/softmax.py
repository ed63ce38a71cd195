"""A linear classifier with cross-entropy, on embeddings or on features."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.api import UsageError


class Softmax(nn.Module):
    """Cross-entropy of a linear classifier of the embeddings, in the view that the term asks for.

    `smoothing` s: the target is 1 - s for the class and s / (C - 1) for each of the others; torch's label
    smoothing spreads over all classes, so it is s C / (C - 1) there. Divisor: the rows.
    """

    def __init__(self, num_classes: int, embedding_dim: int, *, smoothing: float = 0.0) -> None:
        super().__init__()
        self.classifier = Classifier(num_classes, embedding_dim, smoothing)

    def forward(
        self, embeddings: Float[Tensor, "rows dim"], labels: Int[Tensor, " rows"]
    ) -> Float[Tensor, ""]:
        return self.classifier(embeddings, labels)


class SoftmaxFeatures(nn.Module):
    """`softmax` on the backbone's features of the images, whatever the heads. Divisor: the images."""

    def __init__(self, num_classes: int, feature_dim: int, *, smoothing: float = 0.0) -> None:
        super().__init__()
        self.classifier = Classifier(num_classes, feature_dim, smoothing)

    def forward(
        self,
        features: Float[Tensor, "images feature"],
        labels: Int[Tensor, " rows"],
        is_synthetic: Tensor,
    ) -> Float[Tensor, ""]:
        return self.classifier(features, labels[~is_synthetic])


class Classifier(nn.Module):
    """The logits, and their smoothed cross-entropy."""

    def __init__(self, num_classes: int, width: int, smoothing: float) -> None:
        super().__init__()
        others = max(1, num_classes - 1)
        if not 0 <= smoothing <= others / num_classes:
            raise UsageError(f"smoothing = {smoothing}: from 0 to {others}/{num_classes}, an even target")
        self.label_smoothing = smoothing * num_classes / others
        self.linear = nn.Linear(width, num_classes)

    def forward(self, rows: Float[Tensor, "rows width"], labels: Int[Tensor, " rows"]) -> Float[Tensor, ""]:
        return functional.cross_entropy(self.linear(rows), labels, label_smoothing=self.label_smoothing)
