"""The kit's own tools: its data, its rows, its counting."""

import pytest
import torch

from dmlbench.testing.counting import LargestTensor
from dmlbench.testing.data import prepared
from dmlbench.testing.samples import LARGE, Samples


@pytest.fixture(scope="module")
def samples():
    return Samples(prepared(16).train, dim=8, feature_dim=32)


def test_the_data_has_full_and_small_classes():
    counts = torch.bincount(prepared(16).train.labels)
    assert set(counts.tolist()) == {2, 5}
    assert int((counts == 5).sum()) >= 16
    assert len(prepared(16).images) < 130


def test_a_sample_has_the_labels_of_its_images(samples):
    labels = prepared(16).train.labels
    for sample in (samples.batch(), samples.one_class(), samples.all_distinct(), samples.duplicates()):
        assert torch.equal(labels[sample.indices], sample.labels)


def test_labels_shared_are_as_odd_as_classes_are(samples):
    def shared(sample):
        assert torch.equal(sample.relevance, prepared(16).train.relevance[sample.indices])
        others = ~torch.eye(len(sample), dtype=torch.bool)
        return (sample.relevance.int() @ sample.relevance.int().T)[others].view(len(sample), -1)

    assert (shared(samples.one_class()) > 0).all()
    assert (shared(samples.all_distinct()) == 0).all()
    ordinary = shared(samples.batch())
    assert set(ordinary.unique().tolist()) == {0, 1, 2}
    assert (ordinary > 0).any(dim=1).all()
    assert (ordinary == 0).any(dim=1).all()


def test_odd_samples_are_odd_in_their_way(samples):
    assert len(samples.one_row()) == 1
    assert len(samples.one_class().labels.unique()) == 1
    distinct = samples.all_distinct().labels
    assert len(distinct.unique()) == len(distinct)
    twice = samples.duplicates()
    equal = (twice.raw[:, None] == twice.raw).all(dim=2).triu(1)
    same = twice.labels[:, None] == twice.labels
    assert (equal & same).any()
    assert (equal & ~same).any()


def test_the_same_rows_in_other_clothes(samples):
    sample = samples.batch()
    for part in vars(sample.non_contiguous()).values():
        assert not part.is_contiguous()
    assert torch.equal(sample.non_contiguous().raw, sample.raw)
    assert torch.equal(sample.take(sample.order()).raw, sample.shuffled().raw)
    large = sample.large_labels().labels
    assert int(large.min()) >= LARGE
    assert len(large.float().unique()) < len(large.unique())


def test_the_largest_tensor_is_counted_and_a_view_is_none():
    rows = torch.randn(10, 3, requires_grad=True)
    with LargestTensor() as counted:
        rows[:, None, :].expand(10, 1000, 3)
        (rows[:, None] - rows).square().sum().backward()
    assert counted.elements == 10 * 10 * 3


def test_what_is_counted_includes_the_way_back():
    class Wide(torch.autograd.Function):
        @staticmethod
        def forward(context, rows):
            return rows.sum()

        @staticmethod
        def backward(context, gradient):
            return torch.zeros(5000)[:4] * gradient

    rows = torch.randn(4, requires_grad=True)
    with LargestTensor() as counted:
        Wide.apply(rows).backward()
    assert counted.elements == 5000
