import itertools

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dmlbench.data.pairs import across_of, draw_pairs
from dmlbench.data.store import Part
from dmlbench.errors import DataError
from dmlbench.spec.protocol import Pairs


def part(sizes, makers=5, *, columns=True):
    """Items of classes of these sizes, in turn drawn by so many makers."""
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    drawn_by = [number % makers for size in sizes for number in range(size)]
    classes = tuple(f"class{label:03}" for label in range(len(sizes)))
    paths = tuple(f"{classes[label]}/{item:05}.png" for item, label in enumerate(labels))
    return Part(
        torch.arange(len(labels)),
        torch.tensor(labels),
        classes,
        {"maker": drawn_by} if columns else {},
        paths,
    )


def rules(**changes):
    return Pairs(**{"seed": 0, "folds": 10, "genuine": 30, "across": ("maker",), **changes})


def check(drawn, part, rules):
    """What must hold of pairs, whatever they are drawn from; how many there are of a kind in a fold."""
    labels = part.labels[drawn.rows]
    assert torch.equal(drawn.genuine, labels[:, 0] == labels[:, 1])
    folds_of = {}
    for fold, both in zip(drawn.folds.tolist(), labels.tolist(), strict=True):
        for label in both:
            folds_of.setdefault(label, set()).add(fold)
    assert all(len(folds) == 1 for folds in folds_of.values())
    assert len({frozenset(pair) for pair in drawn.rows.tolist()}) == len(drawn.rows)
    assert all(len(set(pair)) == 2 for pair in drawn.rows.tolist())
    if drawn.across:
        makers = torch.tensor(part.columns[drawn.across])[drawn.rows]
        assert bool((makers[:, 0] != makers[:, 1]).all())
    counts = torch.bincount(2 * drawn.folds + drawn.genuine, minlength=2 * rules.folds)
    assert len(set(counts.tolist())) == 1
    return int(counts[0])


def test_each_fold_has_as_many_pairs_of_a_kind_as_are_asked_for():
    side = part([8] * 60)
    drawn = draw_pairs(rules(), "test", side, "here")
    assert check(drawn, side, rules()) == 30
    assert drawn.across == "maker"
    assert drawn.folds.unique().tolist() == list(range(10))


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=6, max_size=24),
    makers=st.integers(2, 5),
    folds=st.integers(2, 4),
    genuine=st.integers(1, 60),
    across=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_pairs_keep_the_rules_on_any_data_and_are_as_many_as_the_smallest_fold_has(
    sizes, makers, folds, genuine, across, seed
):
    side = part(sizes, makers)
    asked = rules(seed=seed, folds=folds, genuine=genuine, across=("maker",) if across else ())
    try:
        drawn = draw_pairs(asked, "test", side, "here")
    except DataError:
        assume(False)  # a fold without a pair
    count = check(drawn, side, asked)
    assert count <= genuine
    if count < genuine:
        assert count == min(pairs_at_hand(side, drawn, fold) for fold in range(folds))


def pairs_at_hand(side, drawn, fold):
    """How many different pairs the fold's classes make, of the kind with fewer: by looking at all."""
    classes = set(side.labels[drawn.rows[drawn.folds == fold]].flatten().tolist())
    makers = side.columns[drawn.across] if drawn.across else range(len(side.labels))
    items = [item for item, label in enumerate(side.labels.tolist()) if label in classes]
    apart = [
        bool(side.labels[i] == side.labels[j])
        for i, j in itertools.combinations(items, 2)
        if makers[i] != makers[j]
    ]
    return min(sum(apart), len(apart) - sum(apart))


def test_the_pairs_never_move():
    """Whoever changes them makes `verification/v2`."""
    drawn = draw_pairs(rules(genuine=2, folds=2, seed=20260101), "test", part([4] * 6), "here")
    assert drawn.rows.tolist() == PINNED


PINNED = [[0, 2], [18, 17], [9, 0], [0, 10], [15, 14], [20, 22], [13, 20], [21, 15]]


def test_the_order_of_items_and_the_numbers_of_classes_do_not_matter():
    side = part([6] * 30)
    order = torch.randperm(180, generator=torch.Generator().manual_seed(0))
    names = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    place = names.argsort()
    moved = Part(
        order,
        place[side.labels[order]],
        tuple(side.classes[name] for name in names.tolist()),
        {"maker": [side.columns["maker"][item] for item in order.tolist()]},
        tuple(side.paths[item] for item in order.tolist()),
    )
    plain, again = (draw_pairs(rules(genuine=9), "test", one, "here") for one in (side, moved))
    assert torch.equal(order[again.rows], plain.rows)
    assert torch.equal(again.genuine, plain.genuine)


def test_sides_and_seeds_have_pairs_of_their_own():
    side = part([8] * 60)
    plain = draw_pairs(rules(), "test", side, "here")
    assert not torch.equal(draw_pairs(rules(), "validation", side, "here").rows, plain.rows)
    assert not torch.equal(draw_pairs(rules(seed=1), "test", side, "here").rows, plain.rows)
    assert torch.equal(draw_pairs(rules(), "test", side, "here").rows, plain.rows)


def test_classes_are_drawn_alike_however_many_pictures_they_have():
    side = part([40, 10, 10, 10] * 5)
    drawn = draw_pairs(rules(folds=2, genuine=240), "test", side, "here")
    first = torch.bincount(side.labels[drawn.rows[:, 0]], minlength=20).reshape(-1, 4).sum(dim=0)
    assert (first / first.sum()).tolist() == pytest.approx([0.25] * 4, abs=0.05)


def test_the_first_of_the_columns_that_the_data_has_counts():
    side = part([8] * 60)
    assert across_of(rules(across=("drawer", "maker")), side, "here") == "maker"
    assert across_of(rules(across=()), side, "here") == ""
    bare = part([8] * 60, columns=False)
    assert check(draw_pairs(rules(across=()), "test", bare, "here"), bare, rules()) == 30
    with pytest.raises(DataError, match="no column 'drawer' or 'maker'") as error:
        draw_pairs(rules(across=("drawer", "maker")), "test", bare, "task mine")
    assert error.value.place == "task mine"
    assert "a task whose data set has one" in error.value.way_out


@pytest.mark.parametrize(("sizes", "makers"), [([1] * 40, 5), ([8] * 12, 5), ([8] * 40, 1), ([8] * 4, 5)])
def test_a_fold_without_a_pair_of_a_kind_is_an_error(sizes, makers):
    """No class of two pictures; a fold of one class; one maker; more folds than classes."""
    with pytest.raises(DataError, match="has no pair of one class, or none of two whose pictures differ"):
        draw_pairs(rules(), "validation", part(sizes, makers), "here")
