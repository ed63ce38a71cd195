from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.data.items import Item
from dmlbench.data.split import SIDES, split_items
from dmlbench.errors import DataError, SpecError
from dmlbench.spec.task import Split


def items_of(group_sizes: list[int], pictures: int = 2, part: str = "") -> list[Item]:
    return [
        Item(path=f"{group}-{label}/{n}", label=f"{group}-{label}", group=f"g{group}", part=part)
        for group, size in enumerate(group_sizes)
        for label in range(size)
        for n in range(pictures)
    ]


def by_group(seed: int = 0, train: str = "0.4", validation: str = "0.1") -> Split:
    return Split(rule="by-group", seed=seed, train=Decimal(train), validation=Decimal(validation))


# No group has more than a tenth of the classes, which is the smallest share.
sizes = st.integers(1, 6).flatmap(
    lambda most: st.lists(st.integers(1, most), min_size=10 * most, max_size=10 * most + 30)
)
seeds = st.integers(0, 999)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(sizes, seeds)
def test_each_item_is_on_one_side_and_groups_stay_whole(group_sizes, seed):
    items = items_of(group_sizes)
    sides = split_items(items, by_group(seed))
    assert sorted(item.path for side in SIDES for item in sides[side]) == sorted(item.path for item in items)
    groups = [{item.group for item in sides[side]} for side in SIDES]
    assert sum(map(len, groups)) == len(set.union(*groups))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(sizes, seeds)
def test_shares_are_met_within_one_group(group_sizes, seed):
    total = sum(group_sizes)
    sides = split_items(items_of(group_sizes), by_group(seed))
    for side, share in zip(SIDES, (0.4, 0.1, 0.5), strict=True):
        assert abs(len({item.label for item in sides[side]}) - share * total) <= max(group_sizes)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(sizes, seeds, st.randoms(use_true_random=False))
def test_the_order_of_items_does_not_matter(group_sizes, seed, random):
    items = items_of(group_sizes)
    shuffled = random.sample(items, len(items))
    assert split_items(shuffled, by_group(seed)) == split_items(items, by_group(seed))


def test_the_order_of_groups_is_pinned():
    """Worked out from sha256 alone: another Python, torch or NumPy must not move a class."""
    sides = split_items(items_of([1] * 10), by_group(0))
    found = {side: sorted({item.group for item in sides[side]}) for side in SIDES}
    assert found == {
        "train": ["g2", "g3", "g7", "g8"],
        "validation": ["g5"],
        "test": ["g0", "g1", "g4", "g6", "g9"],
    }


def test_another_seed_gives_another_split():
    items = items_of([1] * 40)
    assert split_items(items, by_group(0)) != split_items(items, by_group(1))


def test_the_official_rule_keeps_the_test_part_and_validates_on_whole_groups():
    train = items_of([3] * 10, part="train")
    test = [Item(path=f"t{n}", label=f"t{n}", group="elsewhere", part="test") for n in range(5)]
    sides = split_items(train + test, Split(rule="official", seed=0, validation_groups=4))
    assert {item.path for item in sides["test"]} == {item.path for item in test}
    assert len({item.group for item in sides["validation"]}) == 4
    assert len({item.group for item in sides["train"]}) == 6
    assert not {item.group for item in sides["train"]} & {item.group for item in sides["validation"]}


def test_the_official_rule_can_do_without_validation():
    items = [*items_of([2, 2], part="train"), Item(path="t", label="t", group="t", part="test")]
    assert split_items(items, Split(rule="official", seed=0, validation_groups=0))["validation"] == []


def test_a_class_in_two_groups_is_named():
    items = [*items_of([1] * 20), Item(path="x", label="0-0", group="g1")]
    with pytest.raises(DataError, match="'0-0' is in two groups, 'g0' and 'g1'"):
        split_items(items, by_group())


def test_a_group_on_both_official_sides_is_named():
    items = [Item(path=p, label=p, group="Greek", part=p) for p in ("train", "test")]
    with pytest.raises(DataError, match="'Greek' is on both official sides"):
        split_items(items, Split(rule="official", seed=0, validation_groups=0))


def test_an_item_without_an_official_side_is_named():
    with pytest.raises(DataError, match="0-0/0 has no official side"):
        split_items(items_of([1, 1]), Split(rule="official", seed=0, validation_groups=0))


def test_an_empty_side_is_an_error():
    with pytest.raises(DataError, match="leaves no class to validation"):
        split_items(items_of([50, 50]), by_group())


@pytest.mark.parametrize("rule", ["by-group", "official"])
def test_a_rule_without_its_numbers_is_an_error(rule):
    with pytest.raises(SpecError, match=f"the rule '{rule}' needs"):
        split_items(items_of([1] * 9, part="train"), Split(rule=rule, seed=0))


def test_given_sides_are_kept():
    items = [*items_of([2, 1], part="train"), Item(path="v", label="v", group="v", part="validation")]
    items.append(Item(path="t", label="t", group="t", part="test"))
    sides = split_items(items, Split(rule="given", seed=0))
    assert {side: {item.part for item in sides[side]} for side in SIDES} == {side: {side} for side in SIDES}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(sizes, seeds)
def test_whole_groups_of_the_given_training_side_validate_where_none_does(group_sizes, seed):
    total = sum(group_sizes)
    items = [*items_of(group_sizes, part="train"), Item(path="t", label="t", group="t", part="test")]
    sides = split_items(items, Split(rule="given", seed=seed, validation="0.2"))
    assert [item.path for item in sides["test"]] == ["t"]
    trains, validates = ({item.group for item in sides[side]} for side in ("train", "validation"))
    assert not trains & validates
    assert 0 <= len({item.label for item in sides["validation"]}) - Decimal("0.2") * total < max(group_sizes)


def test_a_group_on_two_given_sides_is_named_with_the_places():
    items = [Item(path=p, label=p, group="Allium", part=p, place=f"line {p}") for p in ("train", "test")]
    with pytest.raises(DataError, match="group 'Allium' is on two sides: train and test") as caught:
        split_items(items, Split(rule="given", seed=0, validation="0.2"))
    assert caught.value.place == "line train and line test"


def test_an_item_on_no_given_side_is_named():
    with pytest.raises(DataError, match="0-0/0 is on no side"):
        split_items(items_of([1, 1]), Split(rule="given", seed=0))


def test_given_sides_without_validation_need_a_share():
    with pytest.raises(SpecError, match="the rule 'given' needs `validation`"):
        split_items(items_of([1] * 9, part="train"), Split(rule="given", seed=0))


# ---- within-class: every class on every side


def within_class(seed: int = 0, train: str = "0.5", validation: str = "0.2") -> Split:
    return Split(rule="within-class", seed=seed, train=Decimal(train), validation=Decimal(validation))


def bursts(groups_of_classes: list[int], pictures: int = 3) -> list[Item]:
    return [
        Item(path=f"{label}/{burst}-{n}", label=f"c{label}", group=f"{label}/{burst}")
        for label, groups in enumerate(groups_of_classes)
        for burst in range(groups)
        for n in range(pictures)
    ]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(4, 30), min_size=1, max_size=12), seeds)
def test_within_classes_every_class_is_on_every_side_and_no_group_is_on_two(groups_of_classes, seed):
    items = bursts(groups_of_classes)
    sides = split_items(items, within_class(seed))
    assert sorted(item.path for side in SIDES for item in sides[side]) == sorted(item.path for item in items)
    groups = [{item.group for item in sides[side]} for side in SIDES]
    assert sum(map(len, groups)) == len(set.union(*groups)) == sum(groups_of_classes)
    for label, count in enumerate(groups_of_classes):
        found = [len({item.group for item in sides[side] if item.label == f"c{label}"}) for side in SIDES]
        assert min(found) >= 1
        assert abs(found[0] - 0.5 * count) <= 0.5
        assert abs(found[1] - 0.2 * count) <= 0.5 or found[1] == 1


def test_shares_of_a_hundred_pictures_are_exact():
    items = bursts([100, 100], pictures=1)
    sides = split_items(items, within_class(train="0.7", validation="0.1"))
    assert [len(sides[side]) for side in SIDES] == [140, 20, 40]


def test_within_classes_the_seed_and_the_names_alone_decide():
    items = bursts([10, 8])
    one, other = split_items(items, within_class(1)), split_items(items[::-1], within_class(1))
    assert one == other != split_items(items, within_class(2))


def test_a_class_of_too_few_groups_is_named():
    with pytest.raises(DataError, match="class 'c1' has 2 groups: too few for every side to have one"):
        split_items(bursts([5, 2]), within_class())
    assert split_items(bursts([5, 2]), within_class(validation="0"))["validation"] == []


def test_a_group_of_two_classes_cannot_be_split_within_them():
    items = [Item("a", "one", "g"), Item("b", "two", "g")]
    with pytest.raises(DataError, match="group 'g' has items of the classes 'one' and 'two'"):
        split_items(items, within_class())


def test_within_class_needs_its_shares():
    with pytest.raises(SpecError, match="'within-class' needs"):
        split_items(bursts([5]), Split(rule="within-class", seed=0, train=Decimal("0.5")))


# ---- identities


def pictures_of(people: int, labels: int = 3, parts: tuple[str, ...] = ("",)) -> list[Item]:
    """Everyone with every expression, once; the people take turns with `parts`."""
    return [
        Item(path=f"{one}/{label}", label=f"e{label}", group=f"p{one}", part=parts[one % len(parts)])
        for one in range(people)
        for label in range(labels)
    ]


def identities(fold: int = 0, folds: int = 5, seed: int = 0) -> Split:
    return Split(rule="identities", seed=seed, folds=folds, fold=fold)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(3, 10), st.integers(0, 30), st.integers(0, 9), seeds)
def test_an_identity_is_on_one_side_and_every_class_on_all(folds, more, fold, seed):
    people, fold = folds + more, fold % folds
    sides = split_items(pictures_of(people), identities(fold, folds, seed))
    groups = [{item.group for item in sides[side]} for side in SIDES]
    assert sum(map(len, groups)) == people == len(set.union(*groups))
    assert all({item.label for item in sides[side]} == {"e0", "e1", "e2"} for side in SIDES)
    sizes = people // folds, -(-people // folds)
    assert len(groups[1]) in sizes
    assert len(groups[2]) in sizes


def test_over_all_folds_everyone_tests_once_and_validates_once():
    for side in ("validation", "test"):
        seen = [
            item.group for fold in range(5) for item in split_items(pictures_of(12), identities(fold))[side]
        ]
        assert sorted(seen) == sorted(item.group for item in pictures_of(12))


def test_who_tests_in_a_fold_validates_in_the_one_before():
    test = {item.group for item in split_items(pictures_of(12), identities(3))["test"]}
    assert {item.group for item in split_items(pictures_of(12), identities(2))["validation"]} == test


def test_an_identity_on_both_sides_is_named():
    items = pictures_of(6, parts=("train", "validation", "test"))
    items.append(Item(path="again", label="e0", group="p0", part="test"))
    with pytest.raises(DataError, match="identity 'p0' is on two sides: train and test"):
        split_items(items, Split(rule="identities", seed=0))


def test_a_side_that_items_say_counts_and_training_identities_validate_where_none_does():
    items = pictures_of(20, parts=("train", "train", "train", "test"))
    sides = split_items(items, Split(rule="identities", seed=0, validation=Decimal("0.2")))
    groups = {side: {item.group for item in sides[side]} for side in SIDES}
    assert groups["test"] == {f"p{one}" for one in range(3, 20, 4)}
    assert len(groups["validation"]) == 3
    assert not groups["validation"] & (groups["train"] | groups["test"])


def test_an_item_without_a_side_among_others_with_one_is_named():
    items = [*pictures_of(3, parts=("train", "validation", "test")), Item(path="x", label="e0", group="x")]
    with pytest.raises(DataError, match="x is on no side"):
        split_items(items, Split(rule="identities", seed=0))


def test_a_class_that_does_not_train_is_named():
    items = [*pictures_of(6), Item(path="x", label="rare", group="p2")]
    fold = next(
        f
        for f in range(3)
        if any(i.group == "p2" for i in split_items(pictures_of(6), identities(f, 3))["test"])
    )
    with pytest.raises(DataError, match="class 'rare' is on the side 'test' and does not train"):
        split_items(items, identities(fold, 3))


def test_more_folds_than_identities_are_an_error():
    with pytest.raises(DataError, match="4 identities make no 5 folds"):
        split_items(pictures_of(4), identities())


def test_identities_without_sides_need_folds():
    with pytest.raises(SpecError, match="the rule 'identities' needs `folds` and `fold`"):
        split_items(pictures_of(4), Split(rule="identities", seed=0))


def test_an_option_that_would_do_nothing_is_named():
    with pytest.raises(SpecError, match="deals no `folds` of items that have a side"):
        split_items(pictures_of(6, parts=("train", "validation", "test")), identities(folds=3))
    share = identities(folds=3).model_copy(update={"validation": Decimal("0.2")})
    with pytest.raises(SpecError, match="takes no `validation` of items without a side"):
        split_items(pictures_of(6), share)


@pytest.mark.parametrize(
    "wrong", [{"folds": 3}, {"fold": 0}, {"folds": 3, "fold": 3}, {"folds": 3, "fold": 0, "rule": "given"}]
)
def test_folds_belong_to_identities_and_one_of_them_tests(wrong):
    with pytest.raises(ValueError, match="belong to the rule 'identities'"):
        Split(**{"rule": "identities", "seed": 0, **wrong})


# ---- classes of one domain


def of_domains(paired: int, lone: int) -> list[Item]:
    """Classes with a sketch and a photo, and classes of photos alone."""
    return [
        Item(path=f"{label}/{n}", label=f"{label}", group=f"g{label}", columns={"domain": domain})
        for label in range(paired + lone)
        for n, domain in enumerate(["photo", "photo", "sketch"] if label < paired else ["photo", "photo"])
    ]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seeds)
def test_classes_that_lack_a_domain_never_train_and_are_shared_out_as_the_other_sides_are(seed):
    split = by_group(seed, train="0.5", validation="0.2").model_copy(update={"across": "domain"})
    sides = split_items(of_domains(60, 100), split)
    paired = {side: {i.label for i in own if i.columns["domain"] == "sketch"} for side, own in sides.items()}
    assert {side: len(own) for side, own in paired.items()} == {"train": 30, "validation": 12, "test": 18}
    lone = {side: {item.label for item in own} - paired[side] for side, own in sides.items()}
    assert {side: len(own) for side, own in lone.items()} == {"train": 0, "validation": 40, "test": 60}


def test_a_group_with_one_class_of_a_single_domain_does_not_train():
    items = of_domains(60, 100)
    mixed = [replace(item, group="g0") if item.label == "99" else item for item in items]
    split = by_group(0, train="0.9", validation="0.05").model_copy(update={"across": "domain"})
    assert "0" in {item.label for item in split_items(items, split)["train"]}
    assert "0" not in {item.label for item in split_items(mixed, split)["train"]}


def test_a_split_across_a_column_needs_the_column_and_the_rule():
    split = by_group().model_copy(update={"across": "weather"})
    with pytest.raises(DataError, match="no 'weather', by which the split tells who may train"):
        split_items(of_domains(20, 20), split)
    with pytest.raises(ValueError, match="`across` belongs to the rule 'by-group'"):
        Split(rule="given", seed=0, across="domain")
