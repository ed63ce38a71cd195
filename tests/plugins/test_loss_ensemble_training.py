"""The ensemble of losses in the training loop."""

import copy

import pytest
import torch
from dmlbench_plugins.losses.loss_ensemble import distortion

from dmlbench.spec.component import Component
from dmlbench.spec.method import Term
from dmlbench.train.embedding import embed_rows
from dmlbench.train.scope import Scope

from ..train.helpers import saved, train
from .test_losses_loss_ensemble import combined, ensemble

HEADS = {name: Component(component="dmlbench:linear-share") for name in ("left", "right")}


def recipe(method, *, heads=True, **options):
    left, right = ("left", "right") if heads else ("main", "main")
    terms = {
        "pairs": Term(component="dmlbench:contrastive", head=left),
        "proxies": Term(component="dmlbench:normalised-softmax", head=right),
    }
    fused = {"heads": HEADS, "readout": "fused"} if heads else {}
    combiner = Component(component="dmlbench:loss-ensemble", settings=options)
    return method(terms=terms, combiner=combiner, **fused)


def test_one_loss_with_a_held_weight_is_the_plain_loss_bit_for_bit(make, method, weights):
    settings = {"rate": 0.0, "scaled": False}
    alone = make(method(combiner=Component(component="dmlbench:loss-ensemble", settings=settings)))
    plain = make(method())
    assert [log["loss"] for log in train(alone, 8)] == [log["loss"] for log in train(plain, 8)]
    assert torch.equal(weights(alone), weights(plain))


def test_held_weights_are_those_of_a_recipe_bit_for_bit(make, method, weights):
    ours = recipe(method, heads=False, rate=0.0, scaled=False)
    halves = {name: term.model_copy(update={"weight": 0.5}) for name, term in ours.terms.items()}
    held, plain = make(ours), make(method(terms=halves))
    train(held, 8)
    train(plain, 8)
    assert torch.equal(weights(held), weights(plain))


@pytest.mark.parametrize("compressed", [0, 4])
@pytest.mark.parametrize("cut", [1, 2, 3, 6, 7])
def test_a_run_cut_anywhere_resumes_to_the_same_bits(cut, compressed, make, method, weights):
    told = recipe(method, compressed=compressed, rate=1e-3)
    whole, first, resumed = (make(told) for _ in range(3))
    logs = train(whole, 10)
    train(first, cut)
    resumed.load_state_dict(saved(first))
    assert train(resumed, 10 - cut) == logs[cut:]
    assert torch.equal(weights(whole), weights(resumed))
    state, again = (t.recipe.combiner.module.state_dict() for t in (whole, resumed))
    assert all(torch.equal(value, again[name]) for name, value in state.items())


def test_the_compressor_changes_no_other_network(make, method):
    """Bit for bit, weights of losses, the ensemble's own and BatchNorm's statistics included."""
    with_it, without = make(recipe(method, compressed=4)), make(recipe(method))
    start = [p.clone() for p in with_it.recipe.combiner.module.compressor.parameters()]
    train(with_it, 6)
    train(without, 6)
    for name, module in without.recipe.modules.items():
        other = with_it.recipe.modules[name].state_dict()
        assert all(torch.equal(value, other[key]) for key, value in module.state_dict().items())
    moved = with_it.recipe.combiner.module.compressor.parameters()
    assert all(not torch.equal(a, b) for a, b in zip(start, moved, strict=True))


def heads_of(trainer):
    """Unit embeddings of the training images, by head."""
    model = trainer.recipe.model.eval()
    with torch.no_grad():
        features, _ = model.features(Scope(values={"images": trainer.images.plain(torch.arange(60))}))
        return {head: model.views(model.embed(features, head), head)["unit"] for head in model.heads}


def test_a_compressor_learns_to_keep_distances(make, method):
    trainer = make(recipe(method, compressed=4, compressor_rate=1e-2), budget=16 * 60)
    combiner = trainer.recipe.combiner.module
    untrained = copy.deepcopy(combiner.compressor)
    train(trainer)
    joined = combiner.concatenated(heads_of(trainer))
    with torch.no_grad():
        before, after = (distortion(c(joined), joined) for c in (untrained, combiner.compressor))
    assert after < 0.7 * before


def test_weights_move_away_from_losses_above_their_mean():
    """By little: the stiff constraint rules Adam's second moment, whatever the rate."""
    component = ensemble(1, 1, 2)
    (group,) = component.param_groups()
    optimiser = torch.optim.Adam(
        group.parameters, lr=group.rate, weight_decay=group.weight_decay, **group.options
    )
    for step in range(750):
        value = combined(component, 1.0, 1.0, 1.0) if step < 10 else combined(component, 0.5, 1.5, 1.0)
        component.roots.grad = torch.autograd.grad(value, component.roots)[0]
        optimiser.step()
    falls, rises, stays = component.weights.tolist()
    assert falls > 0.25 + 0.003
    assert rises < 0.25 - 0.002
    assert falls + rises + stays == pytest.approx(1, abs=1e-3)


def test_weights_move_in_training(make, method):
    trainer = make(recipe(method, rate=1e-2))
    train(trainer)
    moved = trainer.recipe.combiner.module.weights.detach()
    assert (moved - 0.5).abs().min() > 1e-4
    assert moved.sum().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("compressed", "width"), [(0, 8), (3, 3)])
def test_heads_together_are_scored_or_what_the_compressor_makes(
    compressed,
    width,
    make,
    method,
    track,
):
    trainer = make(recipe(method, compressed=compressed))
    images = torch.zeros(3, track.images.size, track.images.size, 1, dtype=torch.uint8)
    assert embed_rows(trainer.recipe, images, torch.arange(3), {}, track.images).shape == (3, width)
