"""Who asks and who is asked."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.data.gallery import domains_of, roles_of
from dmlbench.data.store import Part, TestLabels
from dmlbench.errors import DataError
from dmlbench.spec.protocol import Gallery

DOMAINS = Gallery(column="domain", queries=("sketch", "line"), gallery=("photo", "colour"), seed=0)
DEALT = Gallery(column="role", queries=("query",), gallery=("gallery",), dealt=True, seed=0)


def side(values, labels=None, column="domain", paths=None):
    labels = torch.arange(len(values)) if labels is None else torch.tensor(labels)
    classes = tuple(f"class{label}" for label in range(int(labels.max()) + 1))
    paths = tuple(f"{item}.png" for item in range(len(values))) if paths is None else paths
    return Part(torch.arange(len(values)), labels, classes, {column: list(values)}, paths)


def of(rules, side_name, part):
    roles = roles_of(rules, side_name, part, "task t")
    return roles.queries.tolist(), roles.gallery.tolist()


def test_the_column_says_who_asks():
    part = side(["photo", "sketch", "line", "colour", "sketch"])
    assert of(DOMAINS, "validation", part) == ([1, 2, 4], [0, 3])
    hidden = TestLabels(part.labels, part.classes, part.paths, part.columns)
    assert of(DOMAINS, "test", hidden) == ([1, 2, 4], [0, 3])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["sketch", "line", "photo", "colour"]), min_size=2, max_size=40))
def test_no_item_asks_and_is_asked_and_none_is_lost(values):
    part = side(["sketch", "photo", *values])
    queries, gallery = of(DOMAINS, "test", part)
    assert sorted(queries + gallery) == list(range(len(values) + 2))


def test_a_domain_has_one_number_whatever_else_is_on_its_side():
    assert domains_of(DOMAINS, ["colour", "line"], "t").tolist() == [1, 0]
    assert domains_of(DOMAINS, ["photo", "photo"], "t").tolist() == [1, 1]
    assert domains_of(DOMAINS, ["sketch"], "t").tolist() == [0]


def test_an_item_that_is_neither_is_named_with_what_may_be():
    with pytest.raises(DataError, match="domain 'painting' neither ask nor are asked") as error:
        of(DOMAINS, "test", side(["sketch", "painting", "photo"]))
    assert "sketch, line ask, photo, colour are asked" in str(error.value)
    with pytest.raises(DataError, match="'' neither ask"):
        of(DOMAINS, "validation", side(["sketch", "", "photo"]))


@pytest.mark.parametrize(("values", "lacks"), [(["photo", "photo"], "'sketch'"), (["line"], "'photo'")])
def test_a_side_without_queries_or_gallery_is_refused(values, lacks):
    with pytest.raises(DataError, match=f"no item has the domain {lacks}"):
        of(DOMAINS, "test", side(values))


def test_data_without_the_column_is_refused():
    with pytest.raises(DataError, match="no column 'domain', which says who asks"):
        of(DOMAINS, "test", side(["query"], column="role"))


# ---- items without a role


def test_of_each_class_half_ask_rounded_down():
    labels = [0] * 5 + [1] * 2 + [2] + [3] * 4
    queries, gallery = of(DEALT, "validation", side([""] * 12, labels, "role"))
    assert Counter(labels[item] for item in queries) == {0: 2, 1: 1, 3: 2}
    assert Counter(labels[item] for item in gallery) == {0: 3, 1: 1, 2: 1, 3: 2}


def test_the_deal_follows_the_names_and_the_seed_and_not_the_order():
    paths = tuple(f"{number:03}.png" for number in range(60))
    labels = [number % 6 for number in range(60)]
    part = side([""] * 60, labels, "role", paths)
    named = {paths[item] for item in of(DEALT, "validation", part)[0]}
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0)).tolist()
    mixed = side([""] * 60, [labels[i] for i in order], "role", tuple(paths[i] for i in order))
    assert {mixed.paths[item] for item in of(DEALT, "validation", mixed)[0]} == named
    other = DEALT.model_copy(update={"seed": 1})
    assert {paths[item] for item in of(other, "validation", part)[0]} != named


def test_a_role_that_is_said_stands():
    values, labels = ["gallery", "query", "", ""], [0, 0, 1, 1]
    queries, gallery = of(DEALT, "validation", side(values, labels, "role"))
    assert 1 in queries
    assert 0 in gallery
    assert len(queries) == 2


def test_test_items_are_never_dealt():
    with pytest.raises(DataError, match="role '' neither ask nor are asked"):
        of(DEALT, "test", side(["query", "gallery", ""], column="role"))
