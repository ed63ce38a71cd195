from pathlib import Path

import pytest

import dmlbench.api
from dmlbench import api

PUBLIC = [
    "API_VERSION",
    "AugmenterPlugin",
    "BackbonePlugin",
    "Batch",
    "ContractError",
    "DataError",
    "DatasetPlugin",
    "DmlbenchError",
    "Download",
    "FinishedNetwork",
    "Item",
    "LossPlugin",
    "MethodPlugin",
    "MinerPlugin",
    "MissingPackageError",
    "NewRows",
    "Pairs",
    "ParamGroup",
    "SamplerPlugin",
    "Scores",
    "State",
    "Triplets",
    "UsageError",
    "hookimpl",
    "score",
]


def test_the_public_list_is_pinned():
    """Adding a name is a promise; removing one takes a release with a warning first."""
    assert api.__all__ == PUBLIC
    assert dir(dmlbench.api) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_resolves_to_itself(name):
    found = getattr(api, name)
    assert name in ("API_VERSION", "hookimpl") or found.__name__ == name


def test_the_api_version_is_major_and_minor():
    """A new major version refuses plugins that declare the old one: no change by accident."""
    assert api.API_VERSION == (1, 0)


def test_type_checkers_see_the_same_names_as_the_program():
    source = Path(api.__file__).read_text(encoding="utf-8")
    for name in PUBLIC:
        assert f" import {name} as {name}\n" in source


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Looss'"):
        _ = api.Looss
