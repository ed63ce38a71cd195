"""A recipe's names are its components' only names."""

import pytest

from dmlbench.errors import SpecError
from dmlbench.spec.method import Method
from dmlbench.spec.toml import build_spec


def recipe(**fields):
    data = {"id": "x", "summary": "", "fidelity": "paper", "terms": {"loss": {"component": "contrastive"}}}
    return build_spec(Method, {**data, **fields}, place="x.toml")


@pytest.mark.parametrize("name", ["model", "main", "sampler", "backbone"])
def test_a_term_cannot_take_the_name_of_the_model_or_its_parts(name):
    with pytest.raises(SpecError, match=f"reserved: {name}"):
        recipe(terms={name: {"component": "contrastive"}})


def test_a_name_is_used_once_in_a_recipe():
    with pytest.raises(SpecError, match="loss"):
        recipe(miners={"loss": {"component": "semihard"}})


@pytest.mark.parametrize("field", ["head", "miner"])
def test_what_a_term_refers_to_is_there(field):
    with pytest.raises(SpecError, match="is called 'other'"):
        recipe(terms={"loss": {"component": "contrastive", field: "other"}})
