import math

import pytest
import torch
from dmlbench_plugins.backbones.poincare import ball_distance, to_ball
from dmlbench_plugins.losses import hier as module
from dmlbench_plugins.losses.hier import Hier, ancestors, hinge, related_triplets
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.api import UsageError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Term
from dmlbench.spec.track import Optimiser
from dmlbench.train.optimisation import Optimisation

from ..train.helpers import saved, train
from . import reference_hier as reference
from .counting import Work

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))

LOWER = {"proxies": 16, "neighbours": 5, "draws": 4}
"""A hierarchy for batches of a dozen rows."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def double(rows):
    return torch.tensor(rows, dtype=torch.float64)


def one_hot(place, of):
    return torch.nn.functional.one_hot(torch.tensor(place), of).double()


def the_nearest(reach, temperature, generator):
    """`ancestors` without noise; of two that are equally near, e.g. two proxies to each other, the first."""
    reach = reach + 1e-4 * torch.arange(reach.shape[1])
    return torch.zeros_like(reach).scatter_(1, reach.argmin(dim=1, keepdim=True), 1)


def draws(closeness, k, times=40, seed=0, i_may_be_k=False):
    return related_triplets(closeness, k, times, generator(seed), i_may_be_k)


# ---- the hinge


@pytest.mark.parametrize(
    ("distances", "pair", "triple", "expected"),
    [
        ([[1, 0.95], [1.2, 1.25], [1.5, 1.45]], 0, 1, 0.25),
        ([[1, 0.95], [1.2, 1.25], [1.5, 1.45]], 1, 0, 0.35),
        ([[1, 2], [1.2, 1.9], [3, 2.1]], 0, 1, 0.0),
        ([[1, 2], [1.2, 1.9], [1.3, 2.1]], 0, 0, 0.0),
    ],
)
def test_known_costs(distances, pair, triple, expected):
    found = hinge(double(distances)[:, None], one_hot([pair], 2), one_hot([triple], 2), 0.1)
    assert found.item() == pytest.approx(expected, rel=0, abs=1e-12)
    assert reference.hinge(*distances, pair, triple, 0.1) == pytest.approx(expected, rel=0, abs=1e-12)


def test_ancestors_are_the_nearest_that_both_and_that_all_three_reach():
    tangents = double([[1, 0], [1, 0.4], [-0.5, 1]])
    proxies = double([[1.2, 0.2], [0.2, 0.4], [-1, -1]])
    points, rho = (to_ball(rows, 0.1, 2.3, riemannian=False) for rows in (tangents, proxies))
    d = ball_distance(points, rho, 0.1)
    expected = [
        [0.585399741, 1.812291902, 4.522046435],
        [0.603871945, 1.617008097, 4.898536529],
        [3.863319813, 1.866745863, 4.248316461],
    ]
    assert torch.allclose(d, double(expected), rtol=0, atol=1e-9)
    of_two = torch.maximum(d[0], d[1])
    assert (-of_two / 0.1).softmax(dim=0).tolist() == pytest.approx([0.999994352, 0.000005648, 0], abs=1e-9)
    pair, triple = the_nearest(torch.stack([of_two, torch.maximum(of_two, d[2])]), 0.1, None)
    assert (pair.argmax().item(), triple.argmax().item()) == (0, 1)
    assert hinge(d[:, None], pair[None], triple[None], 0.1).item() == 0


def test_with_noise_the_mean_cost_is_the_expected_one():
    count = 100_000
    distances = double([[1, 0.95], [1.2, 1.25], [1.5, 1.45]])[:, None].expand(3, count, 2)
    noise = generator()
    of_two = torch.maximum(distances[0], distances[1])
    pair = ancestors(of_two, 0.1, noise)
    triple = ancestors(torch.maximum(of_two, distances[2]), 0.1, noise)
    assert pair.argmax(dim=1).double().mean().item() == pytest.approx(1 - 0.6224593312, abs=0.005)
    assert triple.argmax(dim=1).double().mean().item() == pytest.approx(0.6224593312, abs=0.005)
    assert hinge(distances, pair, triple, 0.1).mean().item() == pytest.approx(0.1467518396, abs=0.003)


def test_an_ancestor_is_one_proxy_and_its_gradient_that_of_a_softmax_with_noise():
    reach = torch.rand(6, 5, dtype=torch.float64, generator=generator(1)).requires_grad_()
    chosen = ancestors(reach, 0.3, generator(2))
    assert torch.allclose(chosen.sort(dim=1).values, double([[0, 0, 0, 0, 1]]).expand(6, 5), atol=1e-15)
    noise = torch.empty(6, 5, dtype=torch.float64).exponential_(generator=generator(2)).log()
    share = (-reach / 0.3 - noise).softmax(dim=1)
    direction = torch.randn(6, 5, dtype=torch.float64, generator=generator(3))
    (found,) = torch.autograd.grad(chosen, reach, direction)
    (expected,) = torch.autograd.grad(share, reach, direction)
    assert torch.allclose(found, expected, atol=1e-14)


# ---- which points are related


def from_distances(*upper):
    d = torch.zeros(4, 4, dtype=torch.float64)
    d[torch.triu_indices(4, 4, 1).unbind()] = double(upper)
    return (-(d + d.T)).exp()


def test_known_relations():
    closeness = from_distances(0.5, 1, 3, 0.4, 3, 0.6)
    assert draws(closeness, 2).shape == (3, 0)  # only (1, 2) are mutual: no anchor has two
    i, j, k = draws(closeness, 3)
    assert {(a, b) for a, b in zip(i.tolist(), j.tolist(), strict=True)} == {(1, 0), (1, 2), (2, 1), (2, 3)}
    assert {(a, b) for a, b in zip(i.tolist(), k.tolist(), strict=True)} == {(1, 3), (2, 0)}


def test_where_all_are_neighbours_nothing_is_unrelated_but_itself():
    closeness = from_distances(0.5, 1, 3, 0.4, 3, 0.6)
    assert draws(closeness, 9).shape == (3, 0)
    i, _, k = draws(closeness, 9, i_may_be_k=True)
    assert torch.equal(i, k)


@few
@seeds
@pytest.mark.parametrize("k", [2, 4, 7])
def test_triplets_are_drawn_from_the_relations_of_a_plain_loop(k, seed):
    rows = torch.randn(12, 3, dtype=torch.float64, generator=generator(seed))
    closeness = (-torch.cdist(rows, rows)).exp()
    expected = reference.relations(closeness.tolist(), k)
    triplets = draws(closeness, k, times=300, seed=seed)
    for anchor, (related, others) in expected.items():
        mine = triplets[:, triplets[0] == anchor]
        assert set(mine[1].tolist()) == related
        assert set(mine[2].tolist()) == others
    assert set(triplets[0].tolist()) == expected.keys()


def test_draws_are_uniform():
    closeness = from_distances(0.5, 1, 3, 0.4, 3, 0.6)
    i, j, _ = draws(closeness, 3, times=4000)
    assert j[i == 1].bincount().tolist() == [pytest.approx(2000, rel=0.1), 0, pytest.approx(2000, rel=0.1)]


def test_the_own_class_comes_first_however_far():
    loss = Hier(2, proxies=4, neighbours=3, draws=5, curvature=0.1)
    raw = double([[2.2, 0], [-2.2, 0], [0, 2.2], [2.1, 0.1], [2.1, -0.1], [-2.1, 0.1]])
    seen = []
    real = module.related_triplets

    def spy(closeness, *rest):
        seen.append(closeness)
        return real(closeness, *rest)

    module.related_triplets = spy
    try:
        loss.double()(raw, torch.tensor([0, 0, 0, 1, 2, 3]), generator())
    finally:
        module.related_triplets = real
    closest = seen[0].topk(3, dim=1).indices
    assert {frozenset(row) for row in closest[:3].tolist()} == {frozenset([0, 1, 2])}
    assert not seen[0].requires_grad


# ---- the whole


def plain(loss, raw, labels, seed):
    """The two parts by loops, ancestors without noise."""
    nodes = [reference.to_ball(u, loss.curvature, loss.clip) for u in raw.tolist()]
    proxies = [reference.to_ball(u, loss.curvature, loss.clip) for u in loss.proxies.tolist()]
    draw, parts = generator(seed), {}
    for name, points, same in (("images", nodes, labels[:, None] == labels), ("proxies", proxies, None)):
        closeness = double([[math.exp(-reference.ball_distance(x, y, 0.1)) for y in points] for x in points])
        if same is not None:
            closeness = closeness + same
        triplets = related_triplets(closeness, loss.neighbours, loss.draws, draw, False)
        d = [[reference.ball_distance(x, y, 0.1) for y in proxies] for x in points]
        costs = []
        for i, j, k in triplets.T.tolist():
            two = [max(p, q) for p, q in zip(d[i], d[j], strict=True)]
            three = [max(p, q) for p, q in zip(two, d[k], strict=True)]
            pair, triple = (
                nearest.index(min(nearest))
                for nearest in ([x + 1e-4 * m for m, x in enumerate(reach)] for reach in (two, three))
            )
            costs.append(reference.hinge(d[i], d[j], d[k], pair, triple, loss.margin))
        parts[name] = sum(costs) / len(costs)
    return parts


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_a_plain_loop(batch, monkeypatch, seed):
    rows, labels = batch(seed=seed)
    torch.manual_seed(seed)
    loss = Hier(6, **LOWER).double()
    monkeypatch.setattr(module, "ancestors", the_nearest)
    found = loss(3 * rows, labels, generator(seed))
    expected = plain(loss, 3 * rows, labels, seed)
    assert {name: part.item() for name, part in found.items()} == pytest.approx(expected, rel=1e-5)
    assert min(expected.values()) > 0


@pytest.mark.parametrize("curvature", [0.1, 0.0])
def test_gradients_agree_with_finite_differences_where_ancestors_are_given(batch, monkeypatch, curvature):
    rows, labels = batch(seed=1)
    loss = Hier(6, **LOWER, curvature=curvature, riemannian=False).double()
    monkeypatch.setattr(module, "ancestors", the_nearest)

    def of(raw, proxies):
        parts = torch.func.functional_call(loss, {"proxies": proxies}, (raw, labels, generator()))
        return parts["images"], parts["proxies"]

    inputs = (1.5 * rows).requires_grad_(), loss.proxies.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(of, inputs)


def test_turning_everything_changes_nothing(batch):
    rows, labels = batch(seed=2)
    turn = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=generator()))[0]
    loss = Hier(6, **LOWER).double()
    before = loss(2 * rows, labels, generator())
    with torch.no_grad():
        loss.proxies.copy_(loss.proxies @ turn)
    after = loss(2 * rows @ turn, labels, generator())
    assert [part.item() for part in after.values()] == pytest.approx(
        [part.item() for part in before.values()], rel=1e-9
    )


def test_gradients_reach_rows_and_proxies_and_the_riemannian_factor_is_in_both(batch):
    rows, labels = batch(seed=3)
    raw = (2 * rows).requires_grad_()
    gradients = {}
    for riemannian in (False, True):
        torch.manual_seed(0)
        loss = Hier(6, **LOWER, riemannian=riemannian).double()
        total = sum(loss(raw, labels, generator()).values())
        gradients[riemannian] = torch.autograd.grad(total, [raw, loss.proxies])
    for plain_, scaled, tangents in zip(*gradients.values(), (raw, loss.proxies), strict=True):
        points = to_ball(tangents.detach(), 0.1, 2.3, riemannian=False)
        factor = (1 - 0.1 * points.square().sum(dim=1, keepdim=True)).square() / 4
        moved = plain_.abs().sum(dim=1) > 0
        assert moved.any()
        assert torch.allclose(scaled, factor * plain_, atol=1e-14)


def test_without_anything_related_there_is_nothing_to_count():
    loss = Hier(2, proxies=2, neighbours=3, draws=5)
    assert loss(torch.randn(3, 2), torch.arange(3), generator()) is None


def test_without_related_images_the_proxies_still_count():
    loss = Hier(2, proxies=20, neighbours=5, draws=5)
    parts = loss(torch.randn(3, 2), torch.arange(3), generator())
    assert parts["images"] == 0
    assert parts["proxies"] > 0


def test_proxies_start_inside_the_clip_and_have_a_rate_of_their_own_and_the_trunks_weight_decay():
    loss = Hier(128)
    lengths = loss.proxies.detach().norm(dim=1)
    assert lengths.mean().item() == pytest.approx(2.067, abs=0.03)
    assert lengths.std().item() == pytest.approx(0.13, abs=0.02)
    optimiser = Optimiser(name="adamw", rate="2e-3", weight_decay="5e-4", schedule="cosine")
    ((group,),) = [o.param_groups for o in Optimisation({"hier": loss}, optimiser).optimisers.values()]
    assert (group["rate"], group["weight_decay"]) == (pytest.approx(0.1), pytest.approx(5e-4))


@pytest.mark.parametrize("options", [{"proxies": 0}, {"draws": 0}, {"temperature": 0.0}, {"clip": 20.0}])
def test_settings_without_meaning_are_refused(options):
    with pytest.raises(UsageError):
        Hier(4, **options)


def test_memory_follows_rows_and_proxies_and_nothing_else():
    """At the published size, with fewer draws: never rows x proxies x dimensions, nor anything of classes."""
    rows, labels = torch.randn(180, 512), torch.arange(11_318)[:180] // 2
    loss = Hier(512, draws=5)
    with Work() as work:
        sum(loss(rows, labels, generator()).values()).backward()
    assert (
        work.elements <= 3 * 5 * 512 * 512
    )  # three nodes x draws x anchors x proxies; never (rows, proxies, dim)


# ---- in the loop


def with_hier(method, base="dmlbench:contrastive", weight=0.5):
    terms = {"loss": Term(component=base)}
    if weight is not None:
        terms["hier"] = Term(component="dmlbench:hier", weight=weight, settings=LOWER)
    return method(terms=terms)


@pytest.mark.parametrize("base", ["contrastive", "proxy-anchor", "multi-similarity"])
def test_a_weight_of_zero_is_the_plain_loss_bit_for_bit(base, method, make, weights):
    plainly, weightless, with_weight = (
        make(with_hier(method, f"dmlbench:{base}", weight)) for weight in (None, 0, 0.5)
    )
    for trainer in (plainly, weightless, with_weight):
        train(trainer, 6)
    assert torch.equal(weights(plainly), weights(weightless))
    assert not torch.equal(weights(plainly), weights(with_weight))


@pytest.mark.parametrize("cut", [1, 3, 4, 6])
@pytest.mark.parametrize("head", ["dmlbench:linear", "dmlbench:poincare"])
def test_a_resumed_run_equals_an_uninterrupted_one(head, cut, method, make, weights):
    recipe = with_hier(method).model_copy(update={"heads": {"main": Component(component=head)}})
    whole, first, resumed = (make(recipe) for _ in range(3))
    train(whole, 8)
    train(first, cut)
    resumed.load_state_dict(saved(first))
    train(resumed, 8 - cut)
    assert torch.equal(weights(whole), weights(resumed))
    ours, theirs = (t.recipe.modules["hier"].proxies for t in (whole, resumed))
    assert torch.equal(ours, theirs)
