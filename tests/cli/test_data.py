import pytest


def test_data_is_prepared_once_and_verified(project, dmlbench):
    first = dmlbench("data", "prepare", "tiny")
    again = dmlbench("data", "prepare", "tiny")
    assert (first.status, again.status) == (0, 0)
    assert first.out == again.out
    assert "4,887 pictures of 16 x 16" in first.out
    assert "pictures, fingerprint sha256:" in dmlbench("data", "verify", "tiny").out


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
