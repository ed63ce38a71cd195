"""Tables: the same records, the same bytes; everything in its place."""

import csv
import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.results.retractions import Retraction
from dmlbench.results.table import render
from dmlbench.spec.record import Outcome, UsedComponent

FAILED = Outcome(status="failed", kind="RunError")
OTHER = UsedComponent(role="loss", id="a:b", version="2", source=f"sha256:{'0' * 64}", settings={})


def no_sums(record):
    return None


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows(tables, part="table"):
    return [row for row in csv.DictReader(io.StringIO(tables.csv)) if row["part"] == part]


@pytest.fixture
def board(ranked, scores):
    """A ranked board: a base, a better method, one off the track, one with too few seeds, one that fails."""
    base, better = scores
    records = [ranked("dmlbench:alpha", seed, value) for seed, value in enumerate(base)]
    records += [ranked("dmlbench:beta", seed, value, base="alpha") for seed, value in enumerate(better)]
    records += [ranked("dmlbench:wide", seed, 0.9, on_track=False) for seed in range(10)]
    records += [ranked("dmlbench:young", seed, 0.8) for seed in (0, 1, 3)]
    failed = {"outcome": FAILED, "metrics": {}, "metric_versions": {}}
    return [*records, ranked("dmlbench:young", 7, **failed), ranked("dmlbench:dead", 0, **failed)]


def test_a_board_as_markdown(board, sums):
    text = render(board, sums=lambda r: sums(r.metrics["map_at_r"]), preview=False).markdown
    lines = text.splitlines()
    assert lines[0] == "# zero-shot/v1, emoji, emoji-conv4-32px-d128"
    assert "PREVIEW" not in text
    assert lines[2] == "## zero-shot/v1, emoji, emoji-conv4-32px-d128: ranked, scored on test, 190,000 images"
    head, beta, alpha = (cells(lines[n]) for n in (4, 6, 7))
    assert head == [
        *(
            "tier",
            "method",
            "seeds",
            "map_at_r",
            "recall_at_1",
            "to base",
            "classes",
            "p",
            "verdict",
            "budget",
        ),
        *(
            "images seen",
            "extra forwards",
            "dimension",
            "parameters at inference",
            "track",
            "numerics",
            "claim",
        ),
    ]
    assert beta == [
        *("1", "dmlbench:beta", "10", "0.4227 ± 0.0028", "0.4227 ± 0.0028", "+0.0202 ± 0.0009"),
        *("[+0.0202, +0.0202]", "0.0020", "real", "190,000", "94,976", "0", "128", "120,000", "on"),
        *("cpu-bf16", "self-reported"),
    ]
    assert alpha[:9] == ["2", "dmlbench:alpha", "10", "0.4025 ± 0.0022", "0.4025 ± 0.0022", "", "", "", ""]
    below = text[text.index("### Off-track") :]
    assert below.index("dmlbench:wide") < below.index("### Incomplete") < below.index("dmlbench:young")
    assert "seeds 2, 4, 5, 6, 8, 9; seed 7 failed (RunError)" in below
    assert "seeds 1, 2, 3, 4, 5, 6, 7, 8, 9; seed 0 failed (RunError)" in below
    assert text.endswith("\n\nDrawings: see NOTICE\n")


def test_a_reconstruction_an_oracle_and_what_a_step_costs_are_told(ranked):
    told = {"fidelity": "reconstruction", "oracle": True, "costs": {"miner/mined_per_step": 12.5}}
    plain = [ranked("dmlbench:plain", 0, 0.5, fidelity="paper")]
    tables = render([*plain, ranked("dmlbench:told", 0, 0.4, **told)], sums=no_sums, preview=True)
    head, first, second = (cells(line) for line in tables.markdown.splitlines()[6:10] if "---" not in line)
    assert first[0] == "dmlbench:plain"
    assert second[0] == "dmlbench:told (reconstruction, oracle)"
    assert (head[-1], first[-1], second[-1]) == ("a step", "", "miner/mined 12.5")
    by_method = {row["method"]: (row["marks"], row["costs"]) for row in rows(tables)}
    assert by_method["dmlbench:told"] == ("reconstruction oracle", "miner/mined_per_step=12.5")
    assert by_method["dmlbench:plain"] == ("", "")


def test_a_board_as_csv(board, sums):
    tables = render(board, sums=lambda r: sums(r.metrics["map_at_r"]), preview=False)
    beta, alpha = rows(tables)
    assert (beta["method"], beta["tier"], beta["verdict"], beta["p_holm"]) == (
        "dmlbench:beta",
        "1",
        "real",
        "0.001953",
    )
    assert (beta["map_at_r"], beta["map_at_r_half_width"]) == ("0.422700", "0.002761")
    assert (beta["seeds"], beta["preview"], beta["budget"]) == ("0 1 2 3 4 5 6 7 8 9", "no", "190000")
    assert (alpha["difference"], alpha["verdict"]) == ("", "")
    assert [row["method"] for row in rows(tables, "off-track")] == ["dmlbench:wide"]
    assert [row["method"] for row in rows(tables, "incomplete")] == ["dmlbench:young", "dmlbench:dead"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_records_changes_no_byte(seed, make_mixed):
    records, struck, sums = make_mixed
    shuffled = random.Random(seed).sample(records, len(records))
    expected = render(records, sums=sums, preview=True, struck=struck)
    assert render(shuffled, sums=sums, preview=True, struck=struck) == expected


@pytest.fixture(scope="module")
def make_mixed(request):
    make = request.getfixturevalue("make_record_once")
    records = [
        make(f"dmlbench:{m}", seed, 0.3 + 0.01 * seed + 0.05 * (m == "b"), base="a")
        for m in "ab"
        for seed in range(3)
    ]
    records += [make("dmlbench:a", seed, 0.35, profile="smoke", budget=8000) for seed in range(2)]
    records += [make("dmlbench:b", 0, 0.2, components=[OTHER], run_id="20260103", run_key="1" * 32)]
    records += [make("dmlbench:b", 1, 0.4, run_id="20260109", run_key="2" * 32)]
    records += [make("dmlbench:c", 0, outcome=FAILED, metrics={}, metric_versions={})]
    struck = {
        records[2].run_key: Retraction(
            run_key=records[2].run_key, reason="wrong | split\n", date="2026-03-01"
        )
    }
    return records, struck, no_sums


def test_a_preview_says_so_and_has_no_tiers(record):
    text = render([record()], sums=no_sums, preview=True).markdown
    assert text.startswith("# PREVIEW: zero-shot/v1, emoji")
    assert "carry no rank" in text
    assert "tier" not in text.lower()


def test_one_seed_has_no_interval(record):
    tables = render([record(score=0.80412)], sums=no_sums, preview=True)
    assert "| 0.8041 " in tables.markdown
    assert rows(tables)[0]["map_at_r_half_width"] == ""


def test_only_comparable_rows_share_a_table(record):
    data = {"data": f"sha256:{'cd' * 32}"}
    records = [
        record(),
        record(profile="smoke", budget=8000),
        record("dmlbench:gamma", metric_versions={"map_at_r": 2}),
        record("dmlbench:delta", digests={**record().digests, **data}),
    ]
    text = render(records, sums=no_sums, preview=True).markdown
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(headings) == 4
    assert len(set(headings)) == 4
    assert sum("data cdcdcdcd" in line for line in headings) == 1


def test_numerics_are_rows_of_their_own_and_bases_are_looked_up_within_them(record):
    records = [record("a:alpha", seed, numerics="cuda-bf16") for seed in range(3)]
    records += [record("a:beta", seed, 0.6, base="a:alpha") for seed in range(3)]
    alpha, beta = reversed(rows(render(records, sums=no_sums, preview=True)))
    assert (beta["numerics"], beta["verdict"]) == ("cpu-bf16", "no base a:alpha here")
    assert alpha["numerics"] == "cuda-bf16"


def test_two_recipes_under_one_name_are_told_apart(record):
    records = [record(seed=seed) for seed in range(2)]
    records += [record(seed=seed, score=0.7, components=[OTHER], run_key=str(seed) * 32) for seed in range(2)]
    found = rows(render(records, sums=no_sums, preview=True))
    assert [row["map_at_r"] for row in found] == ["0.700000", "0.500000"]
    assert len({row["recipe"] for row in found} - {""}) == 2


def test_of_two_runs_of_a_seed_the_newer_counts(record):
    records = [record(score=0.7, run_id="20260105", run_key="1" * 32), record(score=0.6, run_id="20260104")]
    assert rows(render(records, sums=no_sums, preview=True))[0]["map_at_r"] == "0.700000"


def test_a_failure_that_was_repeated_well_is_no_longer_told(record):
    records = [record(outcome=FAILED, metrics={}, run_id="2026a"), record(run_id="2026b")]
    text = render(records, sums=no_sums, preview=True).markdown
    assert "Incomplete" not in text


def test_struck_rows_stand_below_with_their_reason_and_count_nowhere_else(record):
    records = [record(seed=seed, score=0.5 + seed / 10) for seed in range(3)]
    key = records[2].run_key
    struck = {key: Retraction(run_key=key, reason="labels | mixed\nup", date="2026-03-01")}
    tables = render(records, sums=no_sums, preview=True, struck=struck)
    assert rows(tables)[0]["seeds"] == "0 1"
    below = tables.markdown[tables.markdown.index("## Struck") :]
    assert r"labels \| mixed up" in below
    assert f"| {key[:8]} | 2026-03-01 " in below
    assert rows(tables, "struck")[0]["note"] == "2026-03-01: labels | mixed\nup"


def test_a_board_on_which_everything_is_struck_still_renders(record):
    key = record().run_key
    struck = {key: Retraction(run_key=key, reason="why", date="2026-03-01")}
    assert "## Struck" in render([record()], sums=no_sums, preview=True, struck=struck).markdown


def test_a_table_without_the_primary_metric_is_sorted_by_its_first(record):
    metrics = {"mrr": 1, "ndcg_at_10": 1}
    records = [
        record(f"a:m{n}", metrics={"mrr": n / 10, "ndcg_at_10": 0.5}, metric_versions=metrics)
        for n in range(3)
    ]
    found = rows(render(records, sums=no_sums, preview=True))
    assert [row["method"] for row in found] == ["a:m2", "a:m1", "a:m0"]
    assert {row["primary"] for row in found} == {"mrr"}


def test_tiers_end_where_an_interval_lies_below_the_heads(ranked):
    spread = (-0.01, 0.0, 0.01)
    records = [
        ranked(f"a:m{int(mean * 1000)}", seed, mean + shift)
        for mean in (0.50, 0.49, 0.44, 0.43)
        for seed, shift in enumerate(spread)
    ]
    found = rows(render(records, sums=no_sums, preview=False))
    assert [row["tier"] for row in found] == ["1", "1", "2", "2"]


def test_nothing_prints_minus_zero(record):
    records = [record("a:a", seed, 0.5) for seed in range(2)]
    records += [record("a:b", seed, 0.5 - 1e-9, base="a") for seed in range(2)]
    tables = render(records, sums=no_sums, preview=True)
    assert "-0.0000" not in tables.markdown
    assert "-0.000000" not in tables.csv
