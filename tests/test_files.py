import json
import os

import pytest

from dmlbench.files import read_json, replacing, write_json, write_text


def test_what_was_written_is_read_back(tmp_path):
    write_json(tmp_path / "a" / "b.json", {"b": 1, "a": [1.5, None]})
    assert read_json(tmp_path / "a" / "b.json") == {"a": [1.5, None], "b": 1}


def test_keys_are_sorted_so_that_equal_values_are_equal_bytes(tmp_path):
    write_json(tmp_path / "one", {"b": 1, "a": 2})
    write_json(tmp_path / "two", {"a": 2, "b": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_nan_is_refused_and_the_old_file_stays(tmp_path):
    write_json(tmp_path / "a", 1)
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a", float("nan"))
    assert read_json(tmp_path / "a") == 1


def test_a_block_that_raises_leaves_the_old_file_and_no_other(tmp_path):
    write_text(tmp_path / "a", "old")

    def half():
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("ne")
            raise RuntimeError("half")

    with pytest.raises(RuntimeError, match="half"):
        half()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_reader_sees_the_old_or_the_new_file(tmp_path):
    write_text(tmp_path / "a", "old")
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "a").read_text() == "new"


def test_newlines_are_written_as_given(tmp_path):
    write_text(tmp_path / "a", "one\r\ntwo\n")
    assert (tmp_path / "a").read_bytes() == b"one\r\ntwo\n"


def test_others_may_read_what_was_written(tmp_path):
    write_text(tmp_path / "a", json.dumps(1))
    assert os.stat(tmp_path / "a").st_mode & 0o777 == 0o644
