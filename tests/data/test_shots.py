"""Who may be learnt from, who is scored, and which few images are shown."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dmlbench.data.shots import divided, part_of, shown
from dmlbench.data.store import Part
from dmlbench.errors import DataError
from dmlbench.protocols import load_protocol
from dmlbench.spec.protocol import Shots

RULES = Shots(
    seed=0,
    numbers=(1, 2, 5),
    draws=4,
    pool="0.5",
    published=("image_split",),
    tuning="0.2",
    tuning_rate="0.1",
    tuned_draws=1,
)


def side(sizes, columns=None, order=None):
    """A class of each size; `order` permutes the items."""
    labels = torch.tensor([label for label, size in enumerate(sizes) for _ in range(size)])
    paths = [f"{label}/{item}.png" for item, label in enumerate(labels.tolist())]
    order = list(range(len(labels))) if order is None else order
    return Part(
        torch.arange(100, 100 + len(labels))[order],
        labels[order],
        tuple(f"class{label}" for label in range(len(sizes))),
        {name: [values[item] for item in order] for name, values in (columns or {}).items()},
        tuple(paths[item] for item in order),
    )


def paths(part, places):
    return {part.paths[place] for place in places.flatten().tolist()}


@given(st.lists(st.integers(2, 12), min_size=1, max_size=6), st.integers(0, 99))
def test_no_image_is_learnt_from_and_scored(sizes, seed):
    part = side(sizes)
    cut = divided(RULES.model_copy(update={"seed": seed}), part, "here", novel=True)
    assert sorted([*cut.pool.tolist(), *cut.scored.tolist()]) == list(range(len(part.labels)))
    pools = Counter(part.labels[cut.pool].tolist())
    assert [pools[label] for label in range(len(sizes))] == [max(1, size // 2) for size in sizes]


@given(st.lists(st.integers(2, 12), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_items_moves_no_image(sizes, random):
    part = side(sizes)
    order = list(range(len(part.labels)))
    random.shuffle(order)
    other = side(sizes, order=order)
    cuts = [divided(RULES, one, "here", novel=True) for one in (part, other)]
    assert paths(part, cuts[0].pool) == paths(other, cuts[1].pool)
    assert [part.paths[i] for i in cuts[0].scored] == [other.paths[i] for i in cuts[1].scored]
    few = [shown(RULES, one, cut.pool, "here") for one, cut in zip((part, other), cuts, strict=True)]
    assert few[0].numbers == few[1].numbers
    for mine, others in zip(few[0].places.flatten(), few[1].places.flatten(), strict=True):
        assert part.paths[mine] == other.paths[others]


@given(st.lists(st.integers(2, 24), min_size=1, max_size=5))
def test_what_is_shown_is_of_the_pool_and_of_its_class(sizes):
    part = side(sizes)
    cut = divided(RULES, part, "here", novel=True)
    few = shown(RULES, part, cut.pool, "here")
    fewest = min(max(1, size // 2) for size in sizes)
    assert few.numbers == tuple(number for number in (1, 2, 5) if number <= fewest)
    assert few.places.shape == (4, len(sizes), few.numbers[-1])
    assert paths(part, few.places) <= paths(part, cut.pool)
    assert not paths(part, few.places) & paths(part, cut.scored)
    for draw in few.places:
        for label, images in enumerate(draw.tolist()):
            assert len(set(images)) == len(images)
            assert {int(part.labels[image]) for image in images} == {label}


def test_draws_differ_and_pools_are_drawn_evenly():
    rules = RULES.model_copy(update={"draws": 400})
    part = side([10, 10])
    cut = divided(rules, part, "here", novel=True)
    first = shown(rules, part, cut.pool, "here").places[:, :, 0]
    for label in range(2):
        counts = Counter(first[:, label].tolist())
        assert set(counts) == set(cut.pool[part.labels[cut.pool] == label].tolist())
        assert min(counts.values()) > 50  # 80 expected, standard deviation 8
    other = divided(rules.model_copy(update={"seed": 1}), part, "here", novel=True)
    assert paths(part, cut.pool) != paths(part, other.pool)


def test_a_published_split_stands_in_place_of_the_draw():
    split = ["train", "test", "test", "train", "train", "test"]
    part = side([3, 3], {"image_split": split})
    cut = divided(RULES, part, "here", novel=True)
    assert cut.pool.tolist() == [0, 3, 4]
    assert sorted(cut.scored.tolist()) == [1, 2, 5]


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (["train", "train", "test", "test"], "'class0' has 2 images to learn from and 0 to score"),
        (["train", "test", "test", "test"], "'class1' has 0 images to learn from and 2 to score"),
        (["train", "test", "train", "val"], "says something else than train and test"),
    ],
)
def test_a_published_split_that_leaves_a_class_without_a_side_is_refused(split, said):
    with pytest.raises(DataError, match=said):
        divided(RULES, side([2, 2], {"image_split": split}), "here", novel=True)


def test_a_class_with_one_image_trains_but_is_not_to_be_added():
    part = side([1, 4])
    cut = divided(RULES, part, "here", novel=False)
    assert 0 in cut.pool.tolist()
    assert part.labels[cut.scored].tolist() == [1, 1]
    with pytest.raises(DataError, match="'class0' has 1 images to learn from and 0 to score"):
        divided(RULES, part, "task tiny", novel=True)


def test_the_order_of_scored_images_tells_no_class():
    part = side([20] * 20)
    own = part.labels[divided(RULES, part, "here", novel=False).scored]
    neighbours = (own[1:] == own[:-1]).double().mean()
    assert neighbours < 0.15  # 0.045 expected; 0.9 if classes stood together


def test_a_part_keeps_its_classes_and_its_rows():
    part = side([2, 3], {"image_split": ["a", "b", "c", "d", "e"]})
    some = part_of(part, torch.tensor([1, 4]))
    assert some.rows.tolist() == [101, 104]
    assert some.labels.tolist() == [0, 1]
    assert some.classes == part.classes
    assert some.columns == {"image_split": ["b", "e"]}
    assert some.paths == ("0/1.png", "1/4.png")


def test_a_least_number_that_no_class_has_is_refused():
    part = side([4, 4])
    rules = RULES.model_copy(update={"numbers": (5, 10)})
    with pytest.raises(DataError, match="a class has 2 images to learn from; 5 is the least number"):
        shown(rules, part, divided(rules, part, "here", novel=True).pool, "here")


def test_the_images_of_the_published_rules_are_pinned():
    """Another library's version, or another order of a store, must give the same images."""
    rules = load_protocol("low-shot/v1").shots
    part = side([6, 6])
    cut = divided(rules, part, "here", novel=True)
    few = shown(rules, part, cut.pool, "here")
    assert cut.pool.tolist() == [1, 3, 4, 8, 9, 10]
    assert few.places[:2].tolist() == [[[3, 1], [10, 8]], [[3, 1], [9, 10]]]
