import pytest
import torch
from torch.nn import functional

# Tests of components in the training loop use the loop's own fixtures.
from ..train.conftest import make, method, offer, store, track, weights  # noqa: F401


@pytest.fixture(scope="session")
def batch():
    """Unit rows in float64 and their labels, in no order."""

    def build(classes=4, per_class=3, dim=6, noise=0.8, seed=0):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(classes).repeat_interleave(per_class)
        labels = labels[torch.randperm(len(labels), generator=generator)]
        centres = torch.randn(classes, dim, generator=generator, dtype=torch.float64)
        spread = torch.randn(len(labels), dim, generator=generator, dtype=torch.float64)
        return functional.normalize(centres[labels] + noise * spread, dim=1), labels

    return build


@pytest.fixture(scope="session")
def pairs():
    """Cosines and masks of rows against themselves, or against refs of which none is a row."""

    def build(rows, labels, refs=None, ref_labels=None):
        if refs is None:
            same = labels[:, None] == labels
            return rows @ rows.T, same & ~torch.eye(len(rows), dtype=torch.bool), ~same
        same = labels[:, None] == ref_labels
        return rows @ refs.T, same, ~same

    return build


@pytest.fixture(scope="session")
def four():
    """Four unit vectors of the plane, two of each class: losses on them can be worked out on paper."""
    rows = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]], dtype=torch.float64)
    return rows, torch.tensor([0, 0, 1, 1])
