import pytest
import torch
from dmlbench_plugins.samplers.super_class import SuperClass
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.api import UsageError
from dmlbench.train.classes import by_class

few = settings(max_examples=40, deadline=None, derandomize=True)

CLASSES, SUPERCLASSES = 40, 8
LABELS = torch.arange(CLASSES).repeat_interleave(6)
SUPERCLASS_OF = torch.arange(CLASSES) % SUPERCLASSES  # five classes each, not side by side
SUPERCLASS = SUPERCLASS_OF[LABELS]


def drawn(seed=0, classes=8, per_class=3, together=4, labels=LABELS, superclass=SUPERCLASS):
    sampler = SuperClass(CLASSES, classes * per_class, per_class=per_class, classes_per_superclass=together)
    generator = torch.Generator().manual_seed(seed)
    return sampler.draw(by_class(labels), labels, superclass, generator)


@few
@given(
    seed=st.integers(0, 9_999),
    classes=st.integers(1, 8),
    per_class=st.integers(1, 6),
    together=st.integers(1, 5),
)
def test_a_batch_is_p_classes_of_k_different_images_and_of_as_few_superclasses_as_may_be(
    seed, classes, per_class, together
):
    batch = drawn(seed, classes, per_class, together)
    labels, counts = LABELS[batch].unique(return_counts=True)
    assert counts.tolist() == [per_class] * classes
    assert len(set(batch.tolist())) == len(batch)
    shares = sorted(SUPERCLASS_OF[labels].unique(return_counts=True)[1].tolist(), reverse=True)
    full, rest = divmod(classes, together)
    assert shares == [together] * full + [rest] * (rest > 0)


def test_every_class_comes_as_often_as_every_other():
    counts = torch.zeros(CLASSES)
    for seed in range(400):
        counts += torch.bincount(LABELS[drawn(seed)], minlength=CLASSES) / 3
    # 400 batches of 8 of 40 classes: 80 each on average; a binomial's deviation is 8.
    assert counts.sum() == 400 * 8
    assert (counts - 80).abs().max() < 4 * 8


def test_negatives_share_a_superclass_more_often_than_by_chance():
    def share(together):
        batches = [LABELS[drawn(seed, together=together)].unique() for seed in range(50)]
        pairs = [SUPERCLASS_OF[a] == SUPERCLASS_OF[b] for a, b in (torch.combinations(c).T for c in batches)]
        return torch.cat(pairs).float().mean().item()

    # Of 28 pairs of 8 classes, 2 groups of 4 hold 12. One class each: none.
    assert share(4) == pytest.approx(12 / 28)
    assert share(1) == 0


def test_images_that_are_left_out_are_not_drawn_whatever_their_superclass():
    labels = LABELS.clone()
    labels[::2] = -1
    labels[LABELS == 7] = -1
    superclass = SUPERCLASS.clone()
    superclass[labels < 0] = 0  # nothing may come of these
    for seed in range(20):
        batch = drawn(seed, labels=labels, superclass=superclass, together=3, classes=6)
        assert (labels[batch] >= 0).all()
        shares = SUPERCLASS_OF[labels[batch].unique()].unique(return_counts=True)[1]
        assert shares.tolist() == [3, 3]


def test_superclasses_too_small_for_a_batch_are_refused_with_the_way_out():
    one_each = torch.arange(CLASSES)[LABELS] * 0
    with pytest.raises(UsageError, match="a batch needs 8 classes, superclasses have 4") as error:
        drawn(superclass=one_each)
    assert "classes_per_superclass" in str(error.value)
    with pytest.raises(UsageError, match="at least one"):
        drawn(together=0)
