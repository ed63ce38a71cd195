import pytest
import torch
from dmlbench_plugins.samplers.hard_class import HardClass
from dmlbench_plugins.samplers.pk import PK
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from dmlbench.api import UsageError
from dmlbench.train.classes import by_class

from .counting import Work

few = settings(max_examples=40, deadline=None, derandomize=True)

LABELS = torch.arange(40).repeat_interleave(6)
GROUPS = by_class(LABELS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def neighbours(classes=40, kinds=10):
    """Prototypes of classes of which c and c + 10, c + 20, … are alike."""
    kind = functional.normalize(torch.randn(kinds, 12, generator=generator(1)), dim=1)
    own = functional.normalize(torch.randn(classes, 12, generator=generator(2)), dim=1)
    return functional.normalize(kind[torch.arange(classes) % kinds] + 0.2 * own, dim=1)


def hard_class(prototypes, batch_size=24, **options):
    sampler = HardClass(*prototypes.shape, batch_size, **{"per_class": 3, "group": 4, **options})
    sampler.prototypes.copy_(prototypes)
    return sampler


@few
@given(
    seed=st.integers(0, 9_999),
    group=st.integers(1, 9),
    classes=st.integers(1, 8),
    per_class=st.integers(1, 6),
)
def test_a_batch_is_p_classes_of_k_different_images(seed, group, classes, per_class):
    sampler = hard_class(neighbours(), classes * per_class, per_class=per_class, group=group)
    drawn = sampler.draw(GROUPS, generator(seed))
    assert LABELS[drawn].unique(return_counts=True)[1].tolist() == [per_class] * classes
    assert len(set(drawn.tolist())) == len(drawn)


@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_a_class_and_those_nearest_to_it(seed):
    prototypes = neighbours()
    drawn = LABELS[hard_class(prototypes, batch_size=12).draw(GROUPS, generator(seed))].unique()
    similarity = prototypes @ prototypes.T
    nearest = [set(similarity[head].topk(4).indices.tolist()) for head in range(40)]
    assert set(drawn.tolist()) in nearest


def test_a_class_comes_before_those_that_are_nearer_to_it_than_itself():
    """One that was not yet drawn is as near to itself as to all; a longer prototype is nearer still."""
    prototypes = torch.zeros(40, 12)
    prototypes[0, 0], prototypes[1, 0] = 1, 2
    sampler = hard_class(prototypes, batch_size=6, group=1)
    assert sampler._near_each_other(torch.arange(40)).tolist() == [0, 1]
    assert sampler._near_each_other(torch.arange(39, -1, -1)).tolist() == [0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_groups_share_no_class_and_the_last_one_is_cut(seed):
    drawn = LABELS[hard_class(neighbours(), batch_size=30).draw(GROUPS, generator(seed))].unique()
    assert len(drawn) == 10  # groups of 4, 4 and 2


def test_the_classes_of_a_batch_are_more_alike_than_at_random():
    prototypes = neighbours()

    def mean_similarity(group):
        found = []
        for seed in range(60):
            sampler = hard_class(prototypes, group=group)
            rows = prototypes[LABELS[sampler.draw(GROUPS, generator(seed))].unique()]
            found.append((rows @ rows.T)[~torch.eye(len(rows), dtype=torch.bool)].mean())
        return torch.stack(found).mean().item()

    random, hard = mean_similarity(1), mean_similarity(4)
    assert abs(random) < 0.1
    assert hard > random + 0.3


@pytest.mark.parametrize("known", [True, False], ids=["known", "not-yet-drawn"])
def test_every_class_has_its_turn(known):
    prototypes = neighbours() if known else torch.zeros(40, 12)
    sampler, stream = hard_class(prototypes), generator()
    counts = LABELS[torch.cat([sampler.draw(GROUPS, stream) for _ in range(400)])].bincount(minlength=40)
    assert counts.tolist() == [pytest.approx(240, rel=0.5)] * 40


def test_groups_of_one_are_as_likely_as_in_p_x_k():
    sampler, plain, stream = hard_class(neighbours(), group=1), PK(24, per_class=3), generator()
    ours, theirs = (
        LABELS[torch.cat([s.draw(GROUPS, stream) for _ in range(400)])].bincount() for s in (sampler, plain)
    )
    assert ours.tolist() == [pytest.approx(240, rel=0.4)] * 40
    assert theirs.tolist() == [pytest.approx(240, rel=0.4)] * 40


def test_prototypes_are_running_means_of_the_unit_rows_of_a_class():
    sampler = HardClass(3, 2, 4, per_class=2, momentum=0.75)
    rows = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, -1.0]])
    sampler.after_step(rows, torch.tensor([0, 0, 2]))
    mean = functional.normalize(torch.tensor([1.6, 0.8]), dim=0)  # the first has nothing to keep
    expected = torch.stack([mean, torch.zeros(2), torch.tensor([0.0, -1.0])])
    assert torch.allclose(sampler.prototypes, expected)
    sampler.after_step(torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    moved = functional.normalize(0.75 * mean + 0.25 * torch.tensor([0.0, 1.0]), dim=0)
    assert torch.allclose(sampler.prototypes, torch.stack([moved, *expected[1:]]))


def test_prototypes_are_saved_and_nothing_else():
    assert HardClass(3, 2, 4, per_class=2).state_dict().keys() == {"prototypes"}


def test_the_generator_alone_decides():
    first, again, other = (hard_class(neighbours()).draw(GROUPS, generator(seed)) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_classes_without_images_are_not_drawn():
    labels = LABELS.clone()
    labels[labels % 2 == 0] = -1
    groups = by_class(labels)
    for seed in range(20):
        assert (labels[hard_class(neighbours()).draw(groups, generator(seed))] % 2 == 1).all()


def test_just_as_many_classes_as_needed_are_all_drawn_and_fewer_refused():
    groups = {label: GROUPS[label] for label in range(8)}
    drawn = hard_class(neighbours()).draw(groups, generator())
    assert sorted(set(LABELS[drawn].tolist())) == list(range(8))
    groups.pop(3)
    with pytest.raises(UsageError, match="a batch needs 8 classes, the training set has 7"):
        hard_class(neighbours()).draw(groups, generator())


def test_eleven_thousand_classes_need_no_matrix_of_classes():
    counts = []
    for classes in (100, 11_318):
        groups = by_class(torch.arange(classes).repeat_interleave(5))
        sampler = HardClass(classes, 32, 128, per_class=4, group=4)
        with Work() as work:
            sampler.draw(groups, generator())
        assert work.elements <= classes * 32  # the prototypes; 8 groups x classes is smaller
        counts.append(work.operations)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("options", [{"group": 0}, {"momentum": 1.0}, {"momentum": -0.1}])
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match=r"group = .* and momentum = "):
        HardClass(3, 2, 4, **options)
