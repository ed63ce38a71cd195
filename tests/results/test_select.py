"""What a name and a few options mean among all the records there are."""

from pathlib import Path

import pytest

from dmlbench.errors import UsageError
from dmlbench.results.gather import Entry
from dmlbench.results.select import resolve, select
from dmlbench.spec.record import UsedComponent

METHODS = {"dmlbench:das", "dmlbench:triplet", "acme:triplet", "acme:loss-ring@0a0a0a0a", "local:loss-mine"}


def entries(*records):
    return [Entry(record, Path("here"), Path("there")) for record in records]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("dmlbench:triplet", "dmlbench:triplet"),
        ("das", "dmlbench:das"),
        ("mine", "local:loss-mine"),
        ("ring", "acme:loss-ring@0a0a0a0a"),
        ("loss-ring", "acme:loss-ring@0a0a0a0a"),
        ("loss-ring@0a0a0a0a", "acme:loss-ring@0a0a0a0a"),
        ("acme:loss-ring", "acme:loss-ring@0a0a0a0a"),
    ],
)
def test_short_names_mean_the_only_method_they_fit(name, method):
    assert resolve(name, METHODS) == method


def test_a_name_that_fits_two_or_none_is_an_error_with_the_candidates():
    with pytest.raises(UsageError, match="any of several") as caught:
        resolve("triplet", METHODS)
    assert caught.value.near == "acme:triplet, dmlbench:triplet"
    with pytest.raises(UsageError, match="no record of a method 'tripled'") as caught:
        resolve("tripled", METHODS)
    assert caught.value.near in {"acme:triplet", "dmlbench:triplet"}


def test_the_conditions_that_both_share_are_taken(record):
    a = entries(record("a:a"), record("a:a", profile="smoke", budget=8000))
    chosen = select(a, entries(record("a:b")), {})
    assert [entry.record.profile for entry in (*chosen.a, *chosen.b)] == ["quick", "quick"]


def test_two_shared_profiles_must_be_chosen_between(record):
    sides = [entries(record(m), record(m, profile="smoke", budget=8000)) for m in ("a:a", "a:b")]
    with pytest.raises(UsageError, match="more than one profile: quick, smoke") as caught:
        select(*sides, {})
    assert "--profile quick" in str(caught.value)
    chosen = select(*sides, {"profile": "smoke"})
    assert {entry.record.profile for entry in (*chosen.a, *chosen.b)} == {"smoke"}


def test_an_option_that_fits_no_record_says_what_there_is(record):
    with pytest.raises(UsageError, match="no record with task 'emojy'") as caught:
        select(entries(record("a:a")), entries(record("a:b")), {"task": "emojy"})
    assert caught.value.near == "emoji"


def test_the_newest_recipe_and_of_each_seed_the_newest_run_are_taken(record):
    used = UsedComponent(role="loss", id="a:b", version="2", source=f"sha256:{'0' * 64}", settings={})
    a = entries(
        record("a:a", 0, run_id="2026-1"),
        record("a:a", 0, run_id="2026-2", components=[used]),
        record("a:a", 0, 0.9, run_id="2026-3", components=[used]),
    )
    chosen = select(a, entries(record("a:b")), {})
    assert [entry.record.run_id for entry in chosen.a] == ["2026-3"]
    assert chosen.notes == ("a:a: 2 records of older runs or recipes are left out",)


def test_of_conditions_that_differ_in_digests_alone_the_newest_are_taken(record):
    new = {"digests": {**record().digests, "data": f"sha256:{'cd' * 32}"}}
    sides = [
        entries(record(m, run_id="2026-1"), record(m, 1, run_id="2026-2", **new)) for m in ("a:a", "a:b")
    ]
    chosen = select(*sides, {})
    assert [entry.record.seed for entry in (*chosen.a, *chosen.b)] == [1, 1]
    assert "newest" in chosen.notes[0]
