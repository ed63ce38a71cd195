import pytest
import torch


@pytest.fixture
def clusters():
    """Noisy clusters: neither perfect nor at chance. [items, dim] float32 and labels, in no order."""

    def make(classes=20, per_class=8, dim=16, noise=1.2, seed=0):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(classes).repeat_interleave(per_class)
        labels = labels[torch.randperm(len(labels), generator=generator)]
        centres = torch.randn(classes, dim, generator=generator)
        return centres[labels] + noise * torch.randn(len(labels), dim, generator=generator), labels

    return make
