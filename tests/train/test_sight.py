"""Which rows are anchors, which are refs, and which pairs are positive."""

import pytest
import torch

from dmlbench.train.memory import Memory
from dmlbench.train.rows import Rows
from dmlbench.train.scope import Scope
from dmlbench.train.sight import Sight, scope_of
from dmlbench.train.values import NewRows


def rows(columns=None):
    """Four pictures (labels 0 0 1 1), then one copy of each: the first and the last."""
    unit = torch.eye(4)
    labels = torch.tensor([0, 0, 1, 1])
    base = {"labels": labels, "indices": torch.tensor([10, 11, 12, 13]), **(columns or {})}
    made = Rows({"unit": unit, "raw": 2 * unit}, base, torch.arange(4), 4)
    return made.extend(NewRows(torch.ones(2, 4) / 2, torch.tensor([0, 3])), "unit", "test")


def seen(memory=None, everything=None, **flags):
    return scope_of(Scope(), everything or rows(), Sight(**flags), memory)


def pairs(scope, name):
    return [tuple(pair) for pair in scope[name].nonzero().tolist()]


def test_a_row_is_never_its_own_positive_but_its_copy_is():
    scope = seen()
    assert pairs(scope, "positives") == [
        (0, 1), (0, 4), (1, 0), (1, 4), (2, 3), (2, 5), (3, 2), (3, 5), (4, 0), (4, 1), (5, 2), (5, 3),
    ]  # fmt: skip
    assert scope["negatives"].sum() == 2 * 3 * 3


def test_own_copies_can_be_left_out_of_the_positives_and_never_become_negatives():
    scope = seen(own_copies="exclude")
    assert (0, 4) not in pairs(scope, "positives")
    assert (0, 1) in pairs(scope, "positives")
    assert not scope["negatives"][0, 4]


def test_real_anchors_against_all_rows():
    scope = seen(rows="real", refs="all")
    assert scope["similarity"].shape == (4, 6)
    assert (0, 4) in pairs(scope, "positives")
    assert (0, 0) not in pairs(scope, "positives")


def test_synthetic_anchors_know_their_own_place_among_all_rows():
    scope = seen(rows="synthetic", refs="all")
    assert scope["similarity"].shape == (2, 6)
    assert pairs(scope, "positives") == [(0, 0), (0, 1), (1, 2), (1, 3)]


def test_a_role_splits_rows_into_refs_and_anchors():
    everything = rows({"pinned": torch.tensor([True, False, True, False])})
    scope = seen(everything=everything, refs="pinned", rows="real")
    assert scope["ref_labels"].tolist() == [0, 1]
    assert pairs(scope, "positives") == [(0, 0), (1, 1)]


def test_remembered_rows_are_compared_with_as_refs():
    memory = Memory(3, 4)
    memory.push(torch.eye(4), torch.tensor([5, 5, 0, 1]), torch.tensor([1, 2, 10, 4]))
    scope = seen(memory=memory, rows="real", refs="memory")
    assert sorted(scope["ref_labels"].tolist()) == [0, 0, 0, 1, 1, 1, 5]
    assert scope["positives"][0].sum() == 2  # the other picture of its class and the remembered one
    scope = seen(memory=memory, rows="real", refs="memory", own_copies="exclude")
    assert scope["positives"][0].sum() == 1  # training index 10 is the anchor's own picture


def test_rows_made_after_normalisation_have_no_raw_form():
    with pytest.raises(KeyError):
        seen()["raw"]
    assert len(seen(rows="real")["raw"]) == 4


def test_multi_hot_labels_make_a_pair_positive_when_they_share_one():
    relevance = torch.tensor([[1, 0, 1], [0, 0, 1], [0, 1, 0], [1, 1, 0]]).bool()
    scope = seen(everything=rows({"relevance": relevance}), rows="real")
    assert pairs(scope, "positives") == [(0, 1), (0, 3), (1, 0), (2, 3), (3, 0), (3, 2)]


def test_memory_is_a_ring_that_keeps_the_last_rows():
    memory = Memory(3, 1)
    for start in (0, 2, 4):
        values = torch.arange(start, start + 2)
        memory.push(values[:, None].float(), values, values)
    assert sorted(memory.rows()[1].tolist()) == [3, 4, 5]
    memory.push(torch.arange(9.0)[:, None], torch.arange(9), torch.arange(9))
    assert sorted(memory.rows()[1].tolist()) == [6, 7, 8]
