import hashlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from dmlbench.spec.model import ADDED, PROSE, Number, Spec, canonical, digest


class Rule(Spec):
    summary: str = Field(default="", json_schema_extra=PROSE)
    rate: Number = Number(1)
    names: dict[str, int] = Field(default_factory=dict)


def test_prose_does_not_move_a_digest():
    assert digest(Rule(summary="one")) == digest(Rule(summary="two"))


class LaterRule(Rule):
    more: int = Field(default=0, json_schema_extra=ADDED)
    names_too: tuple[str, ...] = Field(default=(), json_schema_extra=ADDED)


def test_a_field_that_came_later_moves_no_digest_while_it_says_nothing():
    assert digest(LaterRule()) == digest(Rule())
    assert digest(LaterRule(more=1)) != digest(Rule())
    assert digest(LaterRule(names_too=("a",))) != digest(LaterRule(names_too=("b",)))


def test_a_rule_moves_a_digest():
    assert digest(Rule(rate=2)) != digest(Rule(rate=3))


def test_a_default_written_out_is_the_same_rule():
    assert digest(Rule()) == digest(Rule(rate=1, names={}))


def test_the_order_of_keys_is_no_rule():
    assert digest(Rule(names={"a": 1, "b": 2})) == digest(Rule(names={"b": 2, "a": 1}))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_and_the_decimal_it_prints_as_are_one_number(value):
    assert digest(Rule(rate=value)) == digest(Rule(rate=Decimal(repr(value))))
    assert canonical(value) == canonical(Decimal(repr(value)))


@pytest.mark.parametrize("text", ["5e-4", "0.0005", "0.00050", "5.0E-4"])
def test_ways_to_write_a_number_are_one_number(text):
    assert canonical(Decimal(text)) == "0.0005"


def test_a_negative_zero_is_zero():
    assert canonical(Decimal("-0.0")) == "0"


def test_a_digest_is_stable_between_versions():
    """Pinned: every locked protocol would move with it."""
    text = b'{"a":null,"b":[1,"0.5"]}'
    found = digest({"b": [1, Decimal("0.5")], "a": None})
    assert found == "sha256:" + hashlib.sha256(text).hexdigest()
    assert found == "sha256:c0045a9fa861d6a9988b96e2735e48e4828a74e2583c5081d5349f6714ad5d5e"


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Rule().rate = 2


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError, match="Extra inputs"):
        Rule.model_validate({"rat": 1})
