"""One record, one line."""

import json
from decimal import Decimal

import pytest

from dmlbench.errors import ResultsError
from dmlbench.results.line import decode, encode
from dmlbench.spec.record import UsedComponent


def test_a_line_reads_back_as_the_record_it_was(record):
    one = record(validation=[(100, 0.25)], seconds={"train": 1.5})
    line = encode(one)
    assert decode(line, place="here") == one
    assert encode(decode(line, place="here")) == line
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    keys = list(json.loads(line))
    assert keys == sorted(keys)


def test_a_field_that_came_later_is_in_the_line_only_when_it_says_something(record):
    assert not {"oracle", "costs"} & json.loads(encode(record())).keys()
    told = record(oracle=True, costs={"mined_per_step": 3.5})
    assert json.loads(encode(told))["oracle"] is True
    assert decode(encode(told), place="here") == told


def test_settings_that_came_as_decimals_are_written_as_numbers(record):
    used = UsedComponent(
        role="loss",
        id="a:b",
        version="1",
        source=f"sha256:{'0' * 64}",
        settings={"m": Decimal("0.5"), "k": Decimal(4)},
    )
    settings = json.loads(encode(record(components=[used])))["components"][0]["settings"]
    assert settings == {"m": 0.5, "k": 4}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_is_not_written(record, value):
    with pytest.raises(ResultsError, match="cannot be written"):
        encode(record(metrics={"map_at_r": value}))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_nan_is_not_read(record, value):
    line = encode(record(score=0.123)).decode().replace("0.123", value)
    with pytest.raises(ResultsError, match="no number that a record may hold"):
        decode(line, place="file, line 3")


def change(one, **fields):
    return json.dumps({**json.loads(encode(one)), **fields})


def test_a_schema_from_the_future_is_refused_with_a_sentence(record):
    with pytest.raises(ResultsError) as caught:
        decode(change(record(), record_schema=2, brand_new=1), place="file, line 3")
    assert caught.value.message == "record schema 2 is newer than this dmlbench, which reads up to 1"
    assert caught.value.place == "file, line 3"
    assert "update dmlbench" in str(caught.value)


def test_an_unknown_field_is_refused_with_the_nearest_name(record):
    with pytest.raises(ResultsError, match="image_seen") as caught:
        decode(change(record(), image_seen=3), place="here")
    assert caught.value.near == "images_seen"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seed": "0"}, "seed"),
        ({"record_schema": 0}, "must be 1"),
        ({"record_schema": True}, "must be 1"),
        ({"record_schema": None}, "must be 1"),
        ({"run_key": "short"}, "run_key"),
        ({"metrics": {"map_at_r": "0.5"}}, "metrics.map_at_r"),
    ],
)
def test_wrong_types_are_refused_by_name(record, fields, said):
    with pytest.raises(ResultsError, match=said):
        decode(change(record(), **fields), place="here")


@pytest.mark.parametrize("text", ["", "[]", "{", "3", "[" * 100_000])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(ResultsError, match="not a JSON record"):
        decode(text, place="here")
