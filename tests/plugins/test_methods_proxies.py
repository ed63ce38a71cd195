"""Recipes of losses with learned proxies, and why their papers' settings do little for a network that begins
from nothing."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from dmlbench.registry.registry import load_target, registry

from .test_methods import method
from .test_methods_pairs import built

VALIDATED = ("proxy-anchor", "arcface", "cosface")


@pytest.mark.parametrize(
    ("name", "component", "settings"),
    [
        ("proxy-nca-pp", "loss", {"form": "softmax", "scale_embedding": 3.0, "scale_proxy": 3.0}),
        ("cosface", "loss", {"scale": 16.0, "margin": 0.35}),
        ("cosface-paper", "loss", {"scale": 64.0, "margin": 0.35}),
        ("arcface", "loss", {"scale": 16.0, "margin": 0.2}),
        ("arcface-paper", "loss", {"scale": 64.0, "margin": 0.5, "easy_margin": False}),
        ("soft-triple", "loss", {"centres_per_class": 2, "scale": 20.0, "gamma": 10.0, "tau": 0.2}),
        ("soft-triple-paper", "loss", {"centres_per_class": 10, "margin": 0.01, "rate_factor": 100.0}),
        ("proxy-anchor", "loss", {"alpha": 8.0, "margin": 0.1, "rate_factor": 1.0}),
        ("proxy-anchor-paper", "loss", {"alpha": 32.0, "margin": 0.1, "rate_factor": 100.0}),
        ("multi-proxy-anchor", "loss", {"proxies_per_class": 2, "alpha": 8.0, "margin": 0.1}),
        ("n-pair", "loss", {"form": "mc"}),
        ("n-pair-ovo", "loss", {"form": "ovo"}),
    ],
)
def test_a_recipe_has_the_settings_of_the_source_that_it_names(name, component, settings):
    found = built(name).built[component].settings
    assert {key: found[key] for key in settings} == settings


@pytest.mark.parametrize("name", ["n-pair", "n-pair-ovo", "n-pair-hard-classes"])
def test_n_pair_compares_raw_rows_and_holds_their_norms_down(name):
    terms = method(name).terms
    assert (terms["loss"].view, terms["loss"].refs) == ("raw", "is_positive")
    assert terms["norm"].component == "norm-penalty"


def together(name, steps=50):
    """Norm of the mean unit embedding of classes never seen, at the start and after some steps.

    A network from scratch sends everything the same way: its last but one layer is positive, and the common
    part of its input is larger than what tells classes apart.
    """
    classes, held_out, dim = 200, 50, 64
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, dim))
    centres = 3 + torch.randn(classes + held_out, 32, generator=generator)

    def rows(labels):
        return net(centres[labels] + 0.7 * torch.randn(len(labels), 32, generator=generator))

    def mean_direction():
        with torch.no_grad():
            return functional.normalize(rows(torch.arange(classes, classes + held_out)), dim=1).mean(0).norm()

    term = method(name).terms["loss"]
    loss = load_target(registry().find("loss", term.component))(
        classes, dim, **{key: float(value) for key, value in term.settings.items()}
    )
    groups = [{"params": g.parameters, "lr": 2e-3 * g.rate_factor} for g in loss.param_groups()]
    optimiser = torch.optim.AdamW([{"params": net.parameters(), "lr": 2e-3}, *groups])
    start = mean_direction()
    for _ in range(steps):
        labels = torch.randperm(classes, generator=generator)[:42].repeat_interleave(3)
        optimiser.zero_grad()
        loss(rows(labels), labels).backward()
        optimiser.step()
    return start.item(), mean_direction().item()


@pytest.mark.parametrize("name", VALIDATED)
def test_the_papers_settings_first_drive_all_rows_together_and_the_recipes_do_not(name):
    """At a large scale each row's push comes from the one or two proxies that lie nearest, which are the same
    for all rows as long as these lie together: all rows flee the same way. At a small one the pushes of
    many proxies cancel, and what is left is each class's own pull. From a pre-trained network rows begin
    apart; from scratch this stage takes most of a short budget. It is why `NAME-paper` may lie below
    raw pixels on `emoji`."""
    start, after = together(name)
    paper_start, paper_after = together(f"{name}-paper")
    assert start == paper_start
    assert paper_after > start + 0.03
    assert paper_after > 0.97
    assert after < paper_after - 0.03
