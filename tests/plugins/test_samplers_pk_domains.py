import pytest
import torch
from dmlbench_plugins.samplers.pk_domains import PKDomains
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.api import UsageError
from dmlbench.train.classes import by_class

few = settings(max_examples=40, deadline=None, derandomize=True)

CLASSES = 20
LABELS = torch.arange(CLASSES).repeat_interleave(9)
DOMAIN = torch.tensor([0, 0, 0, 0, 1, 1, 0, 1, 1]).repeat(CLASSES)  # five and four of each class


def drawn(seed=0, classes=6, per_domain=(3, 2), labels=LABELS, domain=DOMAIN):
    sampler = PKDomains(classes * sum(per_domain), per_domain=per_domain)
    return sampler.draw(by_class(labels), domain, torch.Generator().manual_seed(seed))


@few
@given(
    seed=st.integers(0, 9_999),
    classes=st.integers(1, 12),
    per_domain=st.tuples(st.integers(1, 5), st.integers(1, 4)),
)
def test_of_each_class_come_as_many_different_images_of_a_domain_as_are_asked_for(seed, classes, per_domain):
    batch = drawn(seed, classes, per_domain)
    assert len(set(batch.tolist())) == len(batch) == classes * sum(per_domain)
    for label in LABELS[batch].unique().tolist():
        own = batch[LABELS[batch] == label]
        assert torch.bincount(DOMAIN[own], minlength=2).tolist() == list(per_domain)


def test_a_domain_with_too_few_images_gives_some_twice():
    batch = drawn(per_domain=(2, 6))
    for label in LABELS[batch].unique().tolist():
        own = batch[LABELS[batch] == label]
        coloured = own[DOMAIN[own] == 1]
        assert (len(coloured), len(coloured.unique())) == (6, 4)


def test_every_class_and_image_comes_as_often_as_every_other():
    counts = torch.zeros(len(LABELS))
    for seed in range(600):
        counts += torch.bincount(drawn(seed), minlength=len(LABELS))
    # 600 batches of 6 of 20 classes: 180 each; of them an image of five is one of three, of four one of two.
    expected = torch.where(DOMAIN == 0, 180 * 3 / 5, 180 * 2 / 4)
    assert counts.sum() == 600 * 30
    assert ((counts - expected).abs() < 5 * expected.sqrt()).all()


def test_a_class_of_one_domain_is_never_drawn():
    domain = DOMAIN.clone()
    domain[LABELS == 3] = 1
    labels = LABELS.clone()
    labels[(LABELS == 5) & (DOMAIN == 1)] = -1  # left out
    seen = torch.cat([labels[drawn(seed, labels=labels, domain=domain)] for seed in range(60)])
    assert set(seen.tolist()) == set(range(CLASSES)) - {3, 5}


def test_too_few_classes_of_both_domains_are_refused_with_the_way_out():
    with pytest.raises(
        UsageError, match="6 classes with images of 2 domains, the training set has 0"
    ) as error:
        drawn(domain=torch.zeros_like(DOMAIN))
    assert "per_domain" in str(error.value)
    with pytest.raises(UsageError, match="does not fit a batch of 5"):
        PKDomains(5, per_domain=(3, 3))
    with pytest.raises(UsageError, match="does not fit"):
        PKDomains(5, per_domain=(0, 3))
