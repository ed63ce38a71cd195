"""Wrong labels on purpose: as many as asked, of the kind asked, and the same for a seed."""

from decimal import Decimal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.data.noise import corrupt, truly_labelled
from dmlbench.data.store import Part
from dmlbench.errors import DataError
from dmlbench.spec.noise import Noise


def part(counts, superclasses=None):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    names = superclasses or [f"s{label % 3}" for label in range(len(counts))]
    columns = {"superclass": [names[label] for label in labels.tolist()]}
    paths = tuple(f"c{label}/{place}.png" for place, label in enumerate(labels.tolist()))
    return Part(torch.arange(len(labels)), labels, tuple(f"c{i}" for i in range(len(counts))), columns, paths)


def pictures(clean, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(len(clean.labels), 256, generator=generator)


def corrupted(clean, rule="symmetric", rate="0.5", seed=0, **given):
    noise = Noise(id="n", rule=rule, rate=None if rule == "list" else Decimal(rate), **given.pop("noise", {}))
    generator = torch.Generator().manual_seed(seed)
    return corrupt(noise, clean, generator, small_pictures=lambda: pictures(clean), **given)


@given(
    counts=st.lists(st.integers(1, 12), min_size=2, max_size=12),
    rate=st.sampled_from(["0.1", "0.2", "0.5", "0.97"]),
    seed=st.integers(0, 99),
)
def test_symmetric_noise_moves_exactly_the_asked_number_to_other_classes(counts, rate, seed):
    clean = part(counts)
    given = corrupted(clean, rate=rate, seed=seed)
    right = truly_labelled(clean, given)
    assert int((~right).sum()) == round(Decimal(rate) * len(clean.labels))
    assert given.classes == clean.classes
    assert 0 <= int(given.labels.min()) <= int(given.labels.max()) < len(counts)
    assert torch.equal(given.rows, clean.rows)


def test_symmetric_noise_draws_every_other_class_alike():
    clean = part([6000] * 7)
    given = corrupted(clean, rate="0.5")
    moved = given.labels != clean.labels
    table = torch.zeros(7, 7)
    table.index_put_((clean.labels[moved], given.labels[moved]), torch.ones(()), accumulate=True)
    assert torch.equal(table.diagonal(), torch.zeros(7))
    expected = 6000 * 0.5 / 6
    off = table[~torch.eye(7, dtype=torch.bool)]
    assert float(((off - expected) ** 2 / expected).sum()) < 70  # chi squared, 41 degrees of freedom: p 0.003


@given(counts=st.lists(st.integers(2, 9), min_size=6, max_size=12), seed=st.integers(0, 99))
def test_superclass_noise_stays_inside_the_superclass(counts, seed):
    clean = part(counts)
    given = corrupted(clean, "superclass", "0.2", seed)
    right = truly_labelled(clean, given)
    assert int((~right).sum()) == round(Decimal("0.2") * len(clean.labels))
    assert torch.equal(given.labels % 3, clean.labels % 3)


def test_superclass_noise_draws_every_other_class_of_the_superclass_alike():
    clean = part([3000] * 6, ["a", "b", "a", "b", "a", "a"])
    given = corrupted(clean, "superclass", "0.5")
    moved = clean.labels == 0
    counts = torch.bincount(given.labels[moved], minlength=6)
    assert counts[[1, 3]].tolist() == [0, 0]
    assert all(400 < int(counts[label]) < 600 for label in (2, 4, 5))


def test_superclass_noise_says_when_too_few_classes_have_a_sister():
    with pytest.raises(DataError, match="have one"):
        corrupted(part([5, 5, 5], ["a", "a", "b"]), "superclass", "0.9")
    clean = part([5, 5])
    bare = Part(clean.rows, clean.labels, clean.classes, {})
    with pytest.raises(DataError, match="no superclasses"):
        corrupted(bare, "superclass")


@settings(deadline=None)  # the first call imports SciPy
@given(counts=st.lists(st.integers(1, 9), min_size=4, max_size=12), seed=st.integers(0, 99))
def test_small_clusters_dissolve_whole_classes_and_leave_the_others_alone(counts, seed):
    clean = part(counts)
    given = corrupted(clean, "small-cluster-16px", "0.25", seed)
    right = truly_labelled(clean, given)
    wrong_by_class = torch.zeros(len(counts)).index_add_(0, clean.labels, (~right).float())
    dissolved = wrong_by_class > 0
    # A dissolved class is gone from the names and all of it is wrong; the others are right to the last.
    assert torch.equal(wrong_by_class[dissolved], torch.tensor(counts)[dissolved].float())
    assert set(given.classes) == {f"c{i}" for i in range(len(counts)) if not dissolved[i]}
    moved, total = int((~right).sum()), len(clean.labels)
    assert moved >= 0.25 * total > moved - max(counts)
    assert int(given.labels.max()) < len(given.classes)


def test_pictures_that_look_alike_move_together():
    clean = part([8, 8, 8, 8, 8, 8, 8, 8])
    looks = torch.zeros(64, 256)
    for place in range(64):
        looks[place, place % 4] = 1.0 + 0.001 * place  # four looks in every class
    noise = Noise(id="n", rule="small-cluster-16px", rate=Decimal("0.5"))
    given = corrupt(noise, clean, torch.Generator().manual_seed(1), small_pictures=lambda: looks)
    for label in range(8):
        items = (clean.labels == label).nonzero().flatten()
        if not bool(truly_labelled(clean, given)[items].all()):
            for look in range(4):
                assert len({int(given.labels[i]) for i in items.tolist() if i % 4 == look}) <= 2


@pytest.mark.parametrize("rule", ["symmetric", "superclass", "small-cluster-16px"])
def test_a_seed_decides_everything(rule):
    clean = part([10] * 12)
    first = corrupted(clean, rule, "0.3", seed=4)
    again = corrupted(clean, rule, "0.3", seed=4)
    other = corrupted(clean, rule, "0.3", seed=5)
    assert torch.equal(first.labels, again.labels)
    assert first.classes == again.classes
    assert not torch.equal(first.labels, other.labels) or first.classes != other.classes


def test_all_pictures_alike_make_one_cluster_and_no_warning():
    clean = part([6, 6, 6, 6])
    noise = Noise(id="n", rule="small-cluster-16px", rate=Decimal("0.5"))
    given = corrupt(noise, clean, torch.Generator(), small_pictures=lambda: torch.ones(24, 256))
    assert len(given.classes) == 2


def listed(clean, first=1, changes=None):
    return {
        path: int(label) + first for path, label in zip(clean.paths, clean.labels.tolist(), strict=True)
    } | (changes or {})


@pytest.mark.parametrize("first", [0, 1])
def test_a_published_list_may_count_from_0_or_1(first):
    clean = part([3, 3, 3])
    changed = listed(clean, first, {"c0/0.png": 2 + first})
    given = corrupted(clean, "list", noise={"listed": "sha256:" + "0" * 64}, listed=changed)
    assert given.labels.tolist() == [2, 0, 0, 1, 1, 1, 2, 2, 2]
    assert truly_labelled(clean, given).tolist() == [False] + [True] * 8


@pytest.mark.parametrize("label", [4, -1])
def test_a_list_with_a_label_out_of_range_is_refused_with_the_image(label):
    clean = part([3, 3, 3])
    changed = listed(clean, 1, {"c1/4.png": label})
    with pytest.raises(DataError) as error:
        corrupted(clean, "list", noise={"listed": "sha256:" + "0" * 64}, listed=changed)
    assert f"label {label} of c1/4.png" in str(error.value)


def test_a_list_that_leaves_classes_out_numbers_the_rest():
    """Small-cluster lists: their labels are numbered anew, and mean the class that most of them are of."""
    clean = part([4, 4, 2])
    of_class = dict.fromkeys(clean.paths[4:8], 0) | dict.fromkeys(clean.paths[8:], 1)
    dissolved = dict(zip(clean.paths[:4], (0, 0, 1, 0), strict=True))
    given = corrupted(clean, "list", noise={"listed": "sha256:" + "0" * 64}, listed=of_class | dissolved)
    assert given.classes == ("c1", "c2")
    assert truly_labelled(clean, given).tolist() == [False] * 4 + [True] * 6


def test_two_labels_that_stand_for_one_class_are_refused():
    clean = part([6, 2])
    given = dict(zip(clean.paths, (0, 0, 0, 1, 1, 1, 0, 1), strict=True))
    with pytest.raises(DataError, match="stand for one class"):
        corrupted(clean, "list", noise={"listed": "sha256:" + "0" * 64}, listed=given)
