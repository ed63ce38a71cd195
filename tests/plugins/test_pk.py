import pytest
import torch
from dmlbench_plugins.samplers.pk import PK
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.api import UsageError
from dmlbench.train.classes import by_class

from .counting import Work

few = settings(max_examples=40, deadline=None, derandomize=True)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images_of(*sizes):
    """(training indices of each class, label of each image), the images in no order."""
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=generator(1))]
    return by_class(labels), labels


@few
@given(
    seed=st.integers(0, 9_999),
    classes=st.integers(1, 6),
    per_class=st.integers(1, 5),
    more=st.integers(0, 4),
    size=st.integers(5, 9),
)
def test_a_batch_is_p_classes_of_k_different_images(seed, classes, per_class, more, size):
    groups, labels = images_of(*[size] * (classes + more))
    drawn = PK(classes * per_class, per_class=per_class).draw(groups, generator(seed))
    assert labels[drawn].unique(return_counts=True)[1].tolist() == [per_class] * classes
    assert len(set(drawn.tolist())) == len(drawn)


def test_images_of_one_class_stand_together():
    groups, labels = images_of(*[6] * 10)
    drawn = PK(12, per_class=3).draw(groups, generator())
    assert (labels[drawn].reshape(4, 3) == labels[drawn][::3, None]).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_small_class_repeats_images_only_after_all_were_taken(seed):
    groups, labels = images_of(3, 3, 3)
    drawn = PK(15, per_class=5).draw(groups, generator(seed))
    assert labels[drawn].bincount().tolist() == [5, 5, 5]
    for part in drawn.reshape(3, 5).tolist():
        assert set(part) == set(groups[int(labels[part[0]])].tolist())


def test_a_class_of_one_image_is_that_image():
    groups, _ = images_of(1, 1)
    drawn = PK(6, per_class=3).draw(groups, generator())
    assert drawn.bincount().tolist() == [3, 3]


def test_every_class_and_every_image_has_its_turn():
    groups, labels = images_of(*[5] * 12)
    sampler, stream = PK(8, per_class=2), generator()
    drawn = torch.cat([sampler.draw(groups, stream) for _ in range(600)])
    of_class, of_image = labels[drawn].bincount(), drawn.bincount()
    assert of_class.tolist() == [pytest.approx(400, rel=0.2)] * 12
    assert of_image.tolist() == [pytest.approx(80, rel=0.5)] * 60


def test_the_generator_alone_decides():
    groups, _ = images_of(*[5] * 12)
    first, again, other = (PK(24, per_class=3).draw(groups, generator(seed)) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_global_generators_are_left_alone():
    groups, _ = images_of(2, 5, 5)
    before = torch.get_rng_state()
    PK(9, per_class=3).draw(groups, generator())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("batch_size", "per_class", "rows"), [(128, 3, 126), (128, 4, 128), (7, 4, 4)])
def test_what_per_class_does_not_divide_is_left_out_of_the_batch(batch_size, per_class, rows):
    groups, _ = images_of(*[4] * 50)
    assert len(PK(batch_size, per_class=per_class).draw(groups, generator())) == rows


def test_classes_need_not_be_numbered_from_zero():
    groups = {4: torch.tensor([9, 2]), 17: torch.tensor([5, 7])}
    assert sorted(PK(4, per_class=2).draw(groups, generator()).tolist()) == [2, 5, 7, 9]


@few
@given(batch_size=st.integers(2, 130), per_class=st.integers(1, 9), classes=st.integers(1, 60))
def test_too_few_classes_are_an_error_and_more_images_of_each_the_way_out(batch_size, per_class, classes):
    per_class = min(per_class, batch_size)
    needed = batch_size // per_class
    groups, _ = images_of(*[2] * classes)
    if needed > classes:
        with pytest.raises(UsageError, match=f"needs {needed} classes, .* has {classes}") as error:
            PK(batch_size, per_class=per_class).draw(groups, generator())
        assert "per_class" in error.value.way_out
        per_class = -(-batch_size // classes)
    drawn = PK(batch_size, per_class=per_class).draw(groups, generator())
    assert len(drawn) == batch_size // per_class * per_class


@pytest.mark.parametrize("per_class", [0, -1, 9])
def test_per_class_must_fit_the_batch(per_class):
    with pytest.raises(UsageError, match="does not fit a batch of 8"):
        PK(8, per_class=per_class)


def test_a_hundred_times_as_many_classes_are_not_more_operations():
    counts = []
    for classes in (100, 11_318):
        groups = by_class(torch.arange(classes).repeat_interleave(5))
        with Work() as work:
            PK(128, per_class=4).draw(groups, generator())
        counts.append(work.operations)
        assert work.elements <= max(classes, 128)
    assert counts[0] == counts[1]
