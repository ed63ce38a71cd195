"""Per-class sums."""

import gzip
import hashlib
import json

import pytest

from dmlbench.errors import ResultsError
from dmlbench.results import classes
from dmlbench.results.classes import ClassSums, digest, pack, read, to_json, unpack, write

ONE = ClassSums(classes=("a", "b"), counts=(2, 3), sums={"map_at_r": (1.0, 1.5)})


def test_the_file_is_the_canonical_json_and_nothing_else(tmp_path):
    path = tmp_path / "x.json.gz"
    told = write(path, ONE)
    text = gzip.decompress(path.read_bytes())
    assert json.loads(text) == {"classes": ["a", "b"], "counts": [2, 3], "sums": {"map_at_r": [1.0, 1.5]}}
    assert told == "sha256:" + hashlib.sha256(text).hexdigest()
    assert read(path, told) == ONE


def test_equal_sums_make_equal_bytes_at_any_time():
    packed = pack(ONE)
    assert packed == pack(ClassSums.model_validate(ONE.model_dump()))
    assert packed[4:8] == b"\0\0\0\0"  # the time in the gzip header


def test_the_mean_is_over_queries():
    assert ONE.mean("map_at_r") == 0.5
    assert ONE.mean("mrr") is None


def test_sums_of_another_run_are_noticed(tmp_path, sums):
    path = tmp_path / "x.json.gz"
    write(path, ONE)
    with pytest.raises(ResultsError, match="not the ones that the record names"):
        read(path, digest(sums(0.5)))


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-5],
        lambda packed: b"not gzip",
        lambda packed: packed[:20] + bytes(10) + packed[30:],
        lambda packed: gzip.compress(b"{}"),
        lambda packed: gzip.compress(to_json(ONE).replace(b"1.5", b"NaN")),
        lambda packed: gzip.compress(to_json(ONE).replace(b"[2,3]", b"[2]")),
        lambda packed: gzip.compress(to_json(ONE).replace(b"[2,3]", b"[2,-3]")),
        lambda packed: gzip.compress(to_json(ONE).replace(b'"b"', b'"a"')),
        lambda packed: gzip.compress(b" " + to_json(ONE)),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(damage):
    with pytest.raises(ResultsError) as caught:
        unpack(damage(pack(ONE)), place="x.json.gz")
    assert caught.value.place == "x.json.gz"


def test_a_file_that_unpacks_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(classes, "MAX_BYTES", 1 << 20)
    with pytest.raises(ResultsError, match="more than 1 MiB"):
        unpack(gzip.compress(bytes(2 << 20)), place="x")
