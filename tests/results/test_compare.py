"""Pairing, and what may be concluded."""

import pytest

from dmlbench.errors import ResultsError
from dmlbench.results.compare import compare, judge, measure, natural, pair
from dmlbench.spec.record import Outcome, UsedComponent


def side(make, method, values, **changes):
    return [make(method, seed, value, **changes) for seed, value in enumerate(values)]


def with_class_gain(sums, spread):
    """Sums for any record: the better method's gain differs by `spread` between classes."""
    return lambda record: sums(record.metrics["map_at_r"], spread if record.method.endswith("beta") else 0.0)


def test_real_needs_both_tests(record, sums, scores):
    base, better = scores
    a, b = side(record, "dmlbench:beta", better), side(record, "dmlbench:alpha", base)
    both = compare(a, b, sums=with_class_gain(sums, 0.01)).differences[0]
    assert both.verdict == "real"
    assert both.p == 2 / 1024
    assert both.difference == pytest.approx(0.0202)
    assert both.interval[0] > 0
    classes_doubt = compare(a, b, sums=with_class_gain(sums, 0.4)).differences[0]
    assert classes_doubt.interval[0] < 0 < classes_doubt.interval[1]
    assert classes_doubt.verdict == "undecided"
    worse = compare(b, a, sums=with_class_gain(sums, 0.01)).differences[0]
    assert (worse.verdict, worse.difference) == ("real", -both.difference)


def test_seeds_that_disagree_are_undecided_and_say_how_many_would_do(record, sums):
    a = side(record, "dmlbench:beta", [0.53, 0.49, 0.53, 0.49, 0.53, 0.49])
    b = side(record, "dmlbench:alpha", [0.50] * 6)
    one = compare(a, b, sums=with_class_gain(sums, 0.0)).differences[0]
    assert one.interval[0] > 0
    assert one.verdict == "undecided"
    assert one.seeds_needed == 21


def test_under_six_seeds_there_is_no_verdict(record, sums, scores):
    base, better = (values[:5] for values in scores)
    result = compare(
        side(record, "a:beta", better), side(record, "a:alpha", base), sums=with_class_gain(sums, 0)
    )
    assert {one.verdict for one in result.differences} == {"too few seeds"}


def test_equal_methods_are_undecided_and_never_equal(record, sums):
    a, b = side(record, "a:beta", [0.5] * 10), side(record, "a:alpha", [0.5] * 10)
    one = compare(a, b, sums=lambda record: sums(0.5)).differences[0]
    assert (one.verdict, one.seeds_needed, one.p) == ("undecided", None, 1.0)


def test_without_class_sums_nothing_is_claimed(record, scores):
    base, better = scores
    one = compare(
        side(record, "a:b", better), side(record, "a:a", base), sums=lambda record: None
    ).differences[0]
    assert one.interval is None
    assert one.verdict == "no class sums"


def test_only_shared_seeds_are_used_and_the_others_are_told(record, sums):
    a = [record("a:beta", seed, 0.5) for seed in (0, 2, 5)]
    b = [record("a:alpha", seed, 0.4) for seed in (5, 7, 0)]
    result = compare(a, b, sums=with_class_gain(sums, 0))
    assert (result.seeds, result.unpaired) == ((0, 5), (2, 7))


def test_no_shared_seed_is_an_error_that_lists_both(record):
    with pytest.raises(ResultsError, match="no seed is shared") as caught:
        pair([record("a:beta", 0)], [record("a:alpha", 3)])
    assert "a:beta (seeds 0) against a:alpha (seeds 3)" in str(caught.value)


DIGEST = dict.fromkeys(("protocol", "task", "track", "data"), f"sha256:{'ab' * 32}")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"protocol": "zero-shot/v2"}, "protocol"),
        ({"task": "omniglot"}, "task"),
        ({"track": "other"}, "track"),
        ({"profile": "smoke"}, "profile"),
        ({"scored": "test"}, "scored"),
        ({"budget": 8000}, "budget"),
        ({"numerics": "cuda-bf16"}, "numerics"),
        ({"metric_versions": {"map_at_r": 2, "recall_at_1": 1}}, "metric versions"),
        *(({"digests": {**DIGEST, name: f"sha256:{'cd' * 32}"}}, f"{name} digest") for name in DIGEST),
    ],
)
def test_unequal_conditions_are_an_error_that_names_the_field(record, changes, named):
    with pytest.raises(ResultsError) as caught:
        pair([record("a:beta")], [record("a:alpha", **changes)])
    assert caught.value.message == f"these records cannot be compared: {named} differs"
    assert caught.value.place.startswith("a:beta: ")


def test_two_recipes_under_one_name_are_not_one_side(record):
    used = UsedComponent(role="loss", id="a:b", version="1", source=f"sha256:{'0' * 64}", settings={})
    with pytest.raises(ResultsError, match="recipe"):
        pair([record("a:beta"), record("a:beta", 1, components=[used])], [record("a:alpha")])


def test_a_seed_twice_and_a_side_of_failures_are_errors(record):
    with pytest.raises(ResultsError, match="two records"):
        pair([record("a:beta"), record("a:beta", run_id="later")], [record("a:alpha")])
    with pytest.raises(ResultsError, match="no record"):
        pair([record("a:beta", outcome=Outcome(status="failed"))], [record("a:alpha")])


def test_holm_over_a_table_can_take_a_verdict_away(record, sums, scores):
    base, better = scores
    pairs = pair(side(record, "dmlbench:beta", better), side(record, "dmlbench:alpha", base))
    one = measure(pairs, "map_at_r", with_class_gain(sums, 0.01))
    assert {d.verdict for d in judge([one] * 25)} == {"real"}
    assert judge([one] * 25)[0].p_adjusted == 25 * 2 / 1024
    assert {d.verdict for d in judge([one] * 26)} == {"undecided"}


def test_the_primary_metric_stands_first_and_the_others_in_natural_order(record, sums):
    metrics = dict.fromkeys(("recall_at_10", "recall_at_2", "map_at_r", "mrr"), 0.5)
    versions = dict.fromkeys(metrics, 1)
    a, b = (record(m, metrics=metrics, metric_versions=versions) for m in ("a:beta", "a:alpha"))
    names = [one.metric for one in compare([a], [b], sums=lambda record: None).differences]
    assert names == ["map_at_r", "mrr", "recall_at_2", "recall_at_10"]
    assert natural("tar_at_far_1e-3") > natural("tar_at_far")
