import inspect
from pathlib import Path

import pytest
import torch
from dmlbench_plugins.pml import losses, miners
from dmlbench_plugins.pml.loss_table import LOSSES
from dmlbench_plugins.pml.miner_table import MINERS
from dmlbench_plugins.pml.names import id_of
from pytorch_metric_learning import losses as their_losses
from pytorch_metric_learning import miners as their_miners

from dmlbench.errors import ContractError, SpecError, UsageError
from dmlbench.registry.registry import digest_of, registry
from dmlbench.registry.source import code_digest
from dmlbench.train.settings import resolve_settings, settings_model
from dmlbench.train.signature import parameters_of, read_request

FACTS = {"num_classes": 6, "embedding_dim": 8}
DEMANDED = {"RankedListLoss": {"margin": 0.4, "Tn": 2.0}}
OBJECTS = {
    *("distance", "reducer", "collect_stats", "embedding_regularizer", "embedding_reg_weight"),
    *("weight_init_func", "weight_regularizer", "weight_reg_weight", "mat_based_loss", "self"),
}
THEIR_FACTS = {"num_classes", "embedding_size", "descriptors_dim", "l"}

every_class = pytest.mark.parametrize("name", [*LOSSES, *MINERS])


def ours(name):
    return getattr(losses if name in LOSSES else miners, name)


def theirs(name):
    return getattr(their_losses if name in LOSSES else their_miners, name)


def fields(name):
    return settings_model(ours(name), name).model_fields


def build(name, **given):
    target = ours(name)
    known = {p.name: FACTS[p.name] for p in parameters_of(target)}
    return target(**known, **resolve_settings(target, {**DEMANDED.get(name, {}), **given}, name))


@every_class
def test_every_argument_of_theirs_is_a_fact_a_setting_or_an_object(name):
    taken = set()
    for owner in theirs(name).__mro__:
        if "__init__" in vars(owner) and owner.__module__.startswith("pytorch_metric_learning"):
            parameters = inspect.signature(owner.__init__).parameters.values()
            taken |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    fixed = {"pos_strategy", "neg_strategy"} if name == "BatchHardMiner" else set()
    settings = {*fields(name)} - {"mined", "beta_per_class"}
    assert settings == taken - OBJECTS - THEIR_FACTS - fixed


@every_class
def test_defaults_are_theirs(name):
    for owner in reversed(theirs(name).__mro__):
        for parameter in inspect.signature(owner.__init__).parameters.values():
            field = fields(name).get(parameter.name)
            mine = owner is theirs(name) or parameter.name not in inspect.signature(theirs(name)).parameters
            if field is None or not mine:
                continue
            if parameter.default is parameter.empty:
                assert field.is_required()
            else:
                assert field.default == parameter.default


@every_class
def test_what_core_knows_is_asked_of_core(name):
    request = read_request(ours(name), "__init__", name, present=FACTS.keys())
    needs = {
        "embedding_size" if p == "descriptors_dim" or p == "l" else p
        for owner in theirs(name).__mro__
        for p in inspect.signature(owner.__init__).parameters
        if p in THEIR_FACTS
    }
    renamed = {"embedding_size": "embedding_dim"}
    assert request.names == {renamed.get(need, need) for need in needs}


def test_settings_are_strict_and_typed():
    assert build("ArcFaceLoss", scale=30).pml.scale == 30
    assert build("BatchEasyHardMiner", allowed_pos_range=(0.1, 1)).pml.allowed_pos_range == (0.1, 1)
    assert build("TripletMarginLoss", triplets_per_anchor=3).pml.triplets_per_anchor == 3
    assert isinstance(build("FastAPLoss").pml.num_bins, int)
    for name, wrong in (
        ("ArcFaceLoss", {"scale": "30"}),
        ("ArcFaceLoss", {"num_classes": 5}),
        ("FastAPLoss", {"num_bins": 10.5}),
        ("LargeMarginSoftmaxLoss", {"margin": 4.5}),
        ("PNPLoss", {"variant": "X"}),
        ("TripletMarginLoss", {"swap": 1}),
        ("TripletMarginLoss", {"triplets_per_anchor": "some"}),
        ("CircleLoss", {"distance": "cosine"}),
        ("InstanceLoss", {"mined": "pairs"}),
    ):
        with pytest.raises(SpecError, match=next(iter(wrong))):
            build(name, **wrong)


def test_what_pml_demands_is_demanded():
    with pytest.raises(SpecError, match=r"RankedListLoss\.(margin|Tn): Field required"):
        resolve_settings(ours("RankedListLoss"), {}, "RankedListLoss")
    assert build("RankedListLoss", margin=0.4, Tn=1).pml.alpha == 1.2


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("BatchEasyHardMiner", {"pos_strategy": "semihard"}, "cannot both be"),
        ("HistogramLoss", {"n_bins": 10, "delta": 0.5}, "delta = 2/n_bins"),
        ("ManifoldLoss", {"lambdaC": -1}, "non-negative"),
        ("RankedListLoss", {"imbalance": 2}, "between 0 and 1"),
    ],
)
def test_what_pml_refuses_is_an_error_of_ours_in_its_words(name, given, words):
    with pytest.raises(UsageError, match=words):
        build(name, **given)


def test_the_boundary_of_the_margin_loss_may_be_one_for_each_class():
    assert build("MarginLoss", learn_beta=True).pml.beta.shape == (1,)
    assert build("MarginLoss", learn_beta=True, beta_per_class=True).pml.beta.shape == (6,)


def test_a_constructor_that_core_cannot_serve_is_refused_by_core():
    with pytest.raises(ContractError, match="num_classes"):
        read_request(ours("ArcFaceLoss"), "__init__", "loss", present={"embedding_dim"})


@every_class
def test_the_source_digest_follows_their_code(name):
    entry = registry().find("loss" if name in LOSSES else "miner", f"pml:{id_of(name)}")
    own = theirs(name)
    assert digest_of(entry) == code_digest(own.__module__, Path(inspect.getfile(own)))


def test_weights_start_from_the_generator_that_core_seeds():
    def start():
        torch.manual_seed(7)
        return build("SoftTripleLoss").pml.fc

    assert torch.equal(start(), start())
