import json

import pytest
from PIL import Image


def test_data_is_prepared_once_and_verified(project, dmlbench):
    first = dmlbench("data", "prepare", "tiny")
    again = dmlbench("data", "prepare", "tiny")
    assert (first.status, again.status) == (0, 0)
    assert first.out == again.out
    assert "4,887 pictures of 16 x 16" in first.out
    assert "4,887 pictures of 16 x 16, fingerprint sha256:" in dmlbench("data", "verify", "tiny").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prepare", "emojy"], "near emoji"),
        (["verify", "emojy"], "near emoji"),
        (["prepare", "tiny", "--track", "tinny"], "near tiny"),
        (["prepare", "omniglot"], "dmlbench data prepare omniglot --download"),
        (["prepare", "omniglot", "--from", "nowhere"], "no such folder"),
        (["prepare", "omniglot", "--from", "."], "images_background"),
        (["verify", "omniglot"], "dmlbench data prepare omniglot"),
    ],
)
def test_what_is_not_there_is_named_with_the_way_out(
    project, dmlbench, monkeypatch, tmp_path, arguments, said
):
    monkeypatch.setenv("DMLBENCH_HOME", str(tmp_path / "empty"))
    done = dmlbench("data", *arguments)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err


def test_verify_counts_the_sides_and_names_pictures_on_two(project, dmlbench, tmp_path):
    done = dmlbench("data", "verify", "tiny", "--sheet", tmp_path / "sheet.png")
    assert done.status == 0
    assert "on more than one side: " in done.out  # some of Noto's families are one drawing
    told = json.loads(dmlbench("data", "verify", "tiny", "--json").out)
    assert told["task"] == "tiny"
    assert sum(side["pictures"] for side in told["sides"].values()) == 4887
    assert told["sides"]["train"]["classes"] == 163
    assert f"{told['shared']} pictures" in done.out
    for group in told["shared_first"]:
        assert len(group) > 1
        for side, paths in group.items():
            assert all(f"{side} {path}" in done.out for path in paths)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
