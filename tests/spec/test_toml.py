from decimal import Decimal

import pytest

from dmlbench.errors import SpecError
from dmlbench.spec.method import Method
from dmlbench.spec.toml import load_spec, parse_toml

GOOD = """
id = "mine"
summary = "A sum."
fidelity = "reconstruction"
[terms.loss]
component = "contrastive"
"""


def load(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_spec(Method, path)


def test_reals_keep_the_digits_that_were_written():
    assert parse_toml("a = 0.10", place="x") == {"a": Decimal("0.10")}


def test_a_good_file_is_a_spec(tmp_path):
    assert load(tmp_path, GOOD).terms["loss"].component == "contrastive"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('fidelity = "reconstruction"\nsampel = 1', ["sampel: Extra inputs", "mine.toml", "near sampler"]),
        ('fidelity = "papr"', ["fidelity: Input should be 'paper'", "mine.toml"]),
        ("", ["fidelity: Field required", "mine.toml"]),
        ("fidelity = ", ["not valid TOML", "line 4", "mine.toml"]),
    ],
)
def test_an_error_names_file_key_and_nearest(tmp_path, change, said):
    with pytest.raises(SpecError) as error:
        load(tmp_path, GOOD.replace('fidelity = "reconstruction"', change))
    for words in said:
        assert words in str(error.value)


def test_a_key_inside_a_table_is_named_with_its_table_and_its_nearest(tmp_path):
    with pytest.raises(SpecError) as error:
        load(tmp_path, GOOD + "weigth = 2\n")
    assert "terms.loss.weigth" in str(error.value)


def test_a_file_that_is_not_there_is_a_spec_error(tmp_path):
    with pytest.raises(SpecError, match="cannot read the file: No such file") as error:
        load_spec(Method, tmp_path / "none.toml")
    assert error.value.place.endswith("none.toml")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("memory = 10", "go together"),
        ('miner = "hard"', "no miner is called 'hard'"),
        ('[others.loss]\ncomponent = "center"', "used twice"),
        ('[others.sampler]\ncomponent = "center"', "reserved"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(tmp_path, lines, said):
    with pytest.raises(SpecError, match=said):
        load(tmp_path, GOOD + lines)


def test_a_method_that_trains_needs_a_term(tmp_path):
    with pytest.raises(SpecError, match="at least one term"):
        load(tmp_path, GOOD.split("[terms")[0])
