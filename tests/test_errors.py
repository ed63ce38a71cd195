import pytest

from dmlbench import errors
from dmlbench.errors import DmlbenchError, ResultsError, RunError, UsageError, nearest


def test_an_error_reads_as_what_where_near_and_way_out():
    error = UsageError("no loss named 'x'", place="a.toml", near="y", way_out="dmlbench list loss")
    assert str(error) == "no loss named 'x'\n  in   a.toml\n  near y\n  try  dmlbench list loss"


def test_hints_that_are_not_there_take_no_line():
    assert str(UsageError("no")) == "no"


def test_only_what_went_wrong_in_a_run_or_in_results_exits_with_1():
    tree = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DmlbenchError)
    ]
    assert {kind for kind in tree if kind.exit_code == 1} == {RunError, ResultsError}


def test_the_drawn_tree_names_every_class():
    tree = [name for name, kind in vars(errors).items() if isinstance(kind, type) and name != "Iterable"]
    for name in tree:
        assert name in errors.__doc__


@pytest.mark.parametrize(
    ("word", "near"),
    [("proxyanchor", "proxy-anchor"), ("contrastiv", "contrastive"), ("zzz", None), ("", None)],
)
def test_nearest_finds_misspellings_and_nothing_else(word, near):
    assert nearest(word, ["contrastive", "proxy-anchor"]) == near
