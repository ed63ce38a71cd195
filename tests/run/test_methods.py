from decimal import Decimal

import pytest

from dmlbench.errors import ContractError, SpecError, UsageError
from dmlbench.registry.descriptors import MethodPlugin
from dmlbench.registry.registry import registry
from dmlbench.registry.report import Entry
from dmlbench.run.methods import load_method, resolve_method


def test_every_built_in_recipe_can_be_read_and_names_a_base_that_exists():
    recipes = {entry.plugin.id: load_method(entry) for entry in registry().of_kind("method")}
    for name, recipe in recipes.items():
        assert recipe.id == name
        assert recipe.base is None or recipe.base in recipes


def test_a_published_method_keeps_its_name():
    name, method = resolve_method("das")
    assert (name, method.id) == ("dmlbench:das", "das")


def test_the_full_id_names_the_same_method():
    assert resolve_method("dmlbench:das") == resolve_method("das")


def test_a_bare_loss_runs_as_a_method_of_its_own():
    name, method = resolve_method("center")
    assert (name, method.id, list(method.terms)) == ("dmlbench:loss-center", "loss-center", ["loss"])


def test_a_function_in_a_file_is_named_by_its_recipe(tmp_path):
    (tmp_path / "mine.py").write_text("def my_loss(embeddings, labels): ...")
    name, method = resolve_method(f"{tmp_path}/mine.py:my_loss")
    base, _, recipe = name.partition("@")
    assert (base, len(recipe)) == ("local:loss-my-loss", 8)
    assert method.terms["loss"].component == f"{tmp_path}/mine.py:my_loss"


def test_a_recipe_in_a_file_is_named_by_its_recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'id = "mine"\nsummary = ""\nfidelity = "paper"\n[terms.loss]\ncomponent = "contrastive"\n'
    )
    assert resolve_method(str(path))[0].startswith("local:mine@")


def test_changed_settings_give_another_name():
    name, method = resolve_method("multi-similarity", ["loss.alpha=3", "loss.base=0.25"])
    assert name.startswith("dmlbench:multi-similarity@")
    assert method.terms["loss"].settings == {"alpha": 3, "base": Decimal("0.25")}
    assert name != resolve_method("multi-similarity", ["loss.alpha=4"])[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("0.5", Decimal("0.5")),
        ("true", True),
        ("softmax", "softmax"),
        ('"a b"', "a b"),
        ("[1, 2]", [1, 2]),
    ],
)
def test_a_value_is_read_as_toml_and_a_bare_word_is_text(text, value):
    _, method = resolve_method("proxy-nca", [f"loss.form={text}"])
    assert method.terms["loss"].settings == {"form": value}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alpha=2", "not of the form COMPONENT.SETTING=VALUE"),
        ("loss.alpha", "not of the form COMPONENT.SETTING=VALUE"),
        ("los.alpha=2", "near loss"),
        ("sampler.per_class=2", "the track's sampler"),
    ],
)
def test_a_change_that_means_nothing_is_refused(change, said):
    with pytest.raises(UsageError) as error:
        resolve_method("multi-similarity", [change])
    assert said in str(error.value)


def test_a_sum_has_the_terms_of_both():
    name, method = resolve_method("multi-similarity+triplet-semihard")
    assert name.startswith("dmlbench:multi-similarity-triplet-semihard@")
    assert method.base == "multi-similarity"
    assert {t: term.component for t, term in method.terms.items()} == {
        "loss": "multi-similarity",
        "triplet-semihard-loss": "triplet",
    }
    assert method.terms["triplet-semihard-loss"].miner == "semihard"


def test_a_sum_of_two_of_the_same_miner_name_keeps_them_apart():
    _, method = resolve_method("triplet-semihard+triplet-semihard")
    assert set(method.miners) == {"semihard", "triplet-semihard-semihard"}
    assert method.terms["triplet-semihard-loss"].miner == "triplet-semihard-semihard"


@pytest.mark.parametrize(
    ("name", "near"),
    [("multi-similarty", "multi-similarity"), ("proxynca", "proxy-nca"), ("das+contrastve", "contrastive")],
)
def test_an_unknown_method_is_answered_with_the_nearest(name, near):
    with pytest.raises(UsageError) as error:
        resolve_method(name)
    assert error.value.near == near


def test_a_recipe_file_that_is_not_there_is_named():
    with pytest.raises(SpecError, match="cannot read the file") as error:
        resolve_method("./none.toml")
    assert error.value.place == "none.toml"


def test_a_method_plugin_without_its_file_breaks_the_contract():
    entry = Entry(MethodPlugin(id="x", target="dmlbench_plugins.methods:none"), "acme", "1")
    with pytest.raises(ContractError, match=r"no file none.toml in dmlbench_plugins.methods"):
        load_method(entry)


@pytest.mark.parametrize("name", ["contrastive+raw-pixels", "untrained+contrastive"])
def test_what_cannot_be_added_is_refused(project, name):
    with pytest.raises(UsageError):
        resolve_method(name)


def test_a_method_added_to_itself_keeps_every_term(project):
    _, method = resolve_method("contrastive+contrastive+contrastive")
    assert len(method.terms) == 3
