"""Where records lie."""

from pathlib import Path

import pytest

from dmlbench.errors import ResultsError
from dmlbench.results.layout import board, classes_file, is_preview, is_ranked, records_file

FROZEN = {"zero-shot/v1"}
ROOT = Path("leaderboards")


def test_a_ranked_record_of_a_frozen_protocol_is_ranked(ranked):
    assert board(ROOT, ranked(), frozen=FROZEN) == ROOT / "zero-shot/v1/emoji/emoji-conv4-32px-d128"


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "dmlbench:das@1a2b3c4d"},
        {"method": "dmlbench:loss-my-loss@1a2b3c4d"},
        {"method": "local:mine"},
        {"method": "mine"},
        {"profile": "quick"},
        {"profile": "smoke"},
        {"scored": "validation"},
        {"protocol": "zero-shot/v2"},
        {"protocol": "local/mine/v1"},
    ],
)
def test_everything_else_is_a_preview(ranked, changes):
    one = ranked(**changes)
    folder = board(ROOT, one, frozen=FROZEN)
    assert folder.is_relative_to(ROOT / "preview")
    assert is_preview(folder, one)


def test_a_local_protocol_is_never_ranked_even_if_called_frozen(ranked):
    assert not is_ranked(ranked(protocol="local/mine/v1"), {"local/mine/v1"})


def test_frozen_may_be_a_test_of_the_record(ranked):
    assert is_ranked(ranked(), lambda record: record.task == "emoji")
    assert not is_ranked(ranked(), lambda record: record.task == "omniglot")


def test_a_board_below_a_folder_called_preview_elsewhere_is_no_preview(ranked):
    one = ranked()
    assert not is_preview(board(Path("preview/of/leaderboards"), one, frozen=FROZEN), one)


@pytest.mark.parametrize("method", ["../x", "a/b", "A:b", "a:b@xyz", "", "a:b\n", "a:b:c"])
def test_a_method_that_is_no_id_names_no_file(method):
    with pytest.raises(ResultsError, match="no method id"):
        records_file(ROOT, method)


@pytest.mark.parametrize("run_id", ["../x", ".x", "", "a/b", "a\n"])
def test_a_run_id_with_a_path_in_it_names_no_file(run_id):
    with pytest.raises(ResultsError, match="no run id"):
        classes_file(Path("records/a__b.jsonl"), run_id)
