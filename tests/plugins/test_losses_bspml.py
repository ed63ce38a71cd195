import math

import pytest
import torch
from dmlbench_plugins.losses.bspml import Bspml, Descent
from dmlbench_plugins.losses.multi_similarity import multi_similarity
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import MultiSimilarityLoss
from torch.nn import functional

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))

LABELS = torch.tensor([0, 0, 0, 1, 1, 1])
SIX = [0, 1, 2, 3, 4, 5]


def bspml(num_samples=6, **options):
    return Bspml(num_samples, **options).double()


def masks(labels):
    same = labels[:, None] == labels
    return same & ~torch.eye(len(labels), dtype=torch.bool), ~same


@pytest.fixture(scope="module")
def six():
    """Unit vectors of the plane; the last one, labelled 1, lies among those labelled 0."""
    angle = torch.deg2rad(torch.tensor([0, 20, 50, 90, 110, 10], dtype=torch.float64))
    return torch.stack([angle.cos(), angle.sin()], dim=1)


@pytest.fixture(scope="module")
def costs(six):
    """c of the six vectors."""
    return bspml().costs(six @ six.T, *masks(LABELS))


# ---- the objective a second time, in plain loops


def objective(v, c, labels, age, mu):
    n = len(v)
    members = [[i for i in range(n) if labels[i] == label] for label in sorted(set(labels))]
    means = [sum(v[i] for i in of_class) / len(of_class) for of_class in members]
    mean = sum(means) / len(means)
    pairs = sum(v[i] * v[j] * c[i][j] for i in range(n) for j in range(n))
    return pairs / n - age / n * sum(v) + mu * sum((m - mean) ** 2 for m in means)


def stepped(v, c, order, *, age, mu, rate, labels=LABELS):
    """v after a pass over all images in this order."""
    descent = Descent(torch.as_tensor(v, dtype=torch.float64), labels, rate=rate, mu=mu)
    descent.go(torch.arange(len(v)), c + c.T, order, age)
    return descent.v


def gradient(v, c, age, mu):
    """Of each coordinate alone, by how far a small step goes from inside (0, 1)."""
    steps = [stepped(v, c, [i], age=age, mu=mu, rate=1e-3)[i] for i in range(len(v))]
    return ((torch.as_tensor(v, dtype=torch.float64) - torch.stack(steps)) / 1e-3).tolist()


# ---- worked numbers on six vectors


def test_the_parts_of_each_anchor(six):
    loss, (positives, negatives) = bspml(), masks(LABELS)
    nothing = torch.zeros_like(positives)
    pull = loss.costs(six @ six.T, positives, nothing).sum(dim=1)
    push = loss.costs(six @ six.T, nothing, negatives).sum(dim=1)
    assert pull.tolist() == pytest.approx(
        [0.3865841256, 0.3198625693, 0.4015618020, 0.6023509831, 0.8302601988, 0.9560834023], abs=1e-10
    )
    assert push.tolist() == pytest.approx(
        [0.4848077530, 0.4848077530, 0.2799074201, 0.2660444765, 0.0138629436, 0.4986708743], abs=1e-10
    )


def test_with_all_weights_1_the_costs_are_multi_similarity(six, costs):
    assert (costs.sum() / 6).item() == pytest.approx(0.9208007170, abs=1e-10)
    theirs = MultiSimilarityLoss(2, 50, 0.5)(six, LABELS).item()
    assert theirs == pytest.approx(0.9208007170, abs=1e-8)


def test_the_wrongly_labelled_image_costs_most_and_the_problem_is_not_convex(costs):
    both = costs + costs.T
    assert both.sum(dim=1).tolist() == pytest.approx(
        [1.51377, 1.34822, 1.38213, 1.40759, 1.58885, 3.80905], abs=1e-5
    )
    assert torch.linalg.eigvalsh(both / 6)[0].item() == pytest.approx(-0.3083, abs=1e-4)


@pytest.mark.parametrize(
    ("age", "mu", "weights", "value"),
    [
        (1.0, 0.0, [1, 1, 0, 1, 1, 0], -0.587736),
        (1.4, 0.0, [1, 1, 1, 1, 1, 0], -0.880708),
        (1.4, 1.0, [1, 1, 0.2367, 1, 1, 0], -0.857517),
        (3.0, 1.0, [1, 1, 1, 1, 1, 0], -2.158486),
    ],
)
def test_cyclic_steps_go_down_to_the_known_minimum(costs, age, mu, weights, value):
    c, labels = costs.tolist(), LABELS.tolist()
    v, before = torch.ones(6, dtype=torch.float64), math.inf
    for _ in range(400):
        for i in SIX:
            v = stepped(v, costs, [i], age=age, mu=mu, rate=0.5)
            now = objective(v.tolist(), c, labels, age, mu)
            assert now <= before + 1e-15
            assert v.min() >= 0
            assert v.max() <= 1
            before = now
    assert v.tolist() == pytest.approx(weights, abs=5e-5)
    assert before == pytest.approx(value, abs=1e-6)


def test_the_balanced_minimum_is_better_than_every_corner(costs):
    corners = [[float(number >> i & 1) for i in SIX] for number in range(64)]
    values = [objective(v, costs.tolist(), LABELS.tolist(), 1.4, 1.0) for v in corners]
    assert min(values) > -0.857517 + 1e-4


def test_one_cyclic_pass_from_ones(costs):
    v = stepped(torch.ones(6), costs, SIX, age=1.0, mu=0.0, rate=0.5)
    assert v.tolist() == pytest.approx([0.957186, 0.972001, 0.970685, 0.967026, 0.951479, 0.778431], abs=1e-6)
    alone = [stepped(torch.ones(6), costs, [i], age=1.0, mu=0.0, rate=0.5)[i].item() for i in SIX]
    assert [(1 - w) / 0.5 for w in alone] == pytest.approx(
        [0.085628, 0.058037, 0.063688, 0.067931, 0.098142, 0.468176], abs=1e-6
    )


def test_the_balance_term_and_its_gradient():
    nothing = torch.zeros(6, 6, dtype=torch.float64)
    v = [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    assert objective(v, nothing.tolist(), LABELS.tolist(), 0.0, 1.0) == pytest.approx(1 / 18, abs=1e-12)
    inside = [0.25 + w / 2 for w in v]  # halves the differences, and with them the gradient
    assert gradient(inside, nothing, 0.0, 1.0) == pytest.approx(3 * [1 / 18] + 3 * [-1 / 18], abs=1e-12)


@few
@given(v=st.lists(st.floats(0.1, 0.9), min_size=6, max_size=6), age=st.floats(0, 3), mu=st.floats(0, 2))
def test_the_steps_follow_central_differences_of_the_objective(costs, v, age, mu):
    def at(i, shift):
        return objective(
            [w + shift * (j == i) for j, w in enumerate(v)], costs.tolist(), LABELS.tolist(), age, mu
        )

    differences = [(at(i, 1e-4) - at(i, -1e-4)) / 2e-4 for i in SIX]
    assert gradient(v, costs, age, mu) == pytest.approx(differences, abs=1e-9)


def test_without_balance_a_hard_step_takes_what_costs_less_than_the_age(costs):
    v = torch.tensor([0.3, 0.9, 0.0, 1.0, 0.6, 0.5], dtype=torch.float64)
    for i in SIX:
        for age in (0.5, 1.0, 1.5, 2.5):
            cheap = float((costs + costs.T)[i] @ v) < age
            assert stepped(v, costs, [i], age=age, mu=0.0, rate=1e6)[i] == float(cheap)


@few
@seeds
def test_a_pass_over_a_batch_equals_a_plain_loop(seed):
    """Images outside the batch are held, and count in the means of their classes."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (9,), generator=draw) * 2  # classes 0, 2 and 4
    start, c = torch.rand(9, generator=draw).double(), torch.rand(5, 5, generator=draw).double()
    images = torch.randperm(9, generator=draw)[:5]
    order = torch.randperm(5, generator=draw).tolist()
    descent = Descent(start, labels, rate=3.0, mu=0.2)
    descent.go(images, c + c.T, order, 1.5)
    v, numbers = start.tolist(), images.tolist()
    for place in order:
        i = numbers[place]
        means = {y: [v[k] for k in range(9) if labels[k] == y] for y in labels.tolist()}
        means = {y: sum(of_class) / len(of_class) for y, of_class in means.items()}
        own = int(labels[i])
        g = (sum(v[numbers[k]] * (c[place, k] + c[k, place]).item() for k in range(5)) - 1.5) / 9
        g += 2 * 0.2 / int((labels == own).sum()) * (means[own] - sum(means.values()) / len(means))
        v[i] = min(1.0, max(0.0, v[i] - 3.0 * g))
    assert descent.v.tolist() == pytest.approx(v, abs=1e-12)
    assert v != start.tolist()


# ---- the network's part


def test_with_all_weights_1_it_is_multi_similarity_without_mining(batch, pairs):
    rows, labels = batch(seed=1)
    similarity, positives, negatives = pairs(rows, labels)
    ours = bspml(12, beta=40.0)(similarity, positives, negatives, torch.arange(12))
    theirs = multi_similarity(similarity, positives, negatives, epsilon=None)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-14)


@few
@seeds
@pytest.mark.parametrize("cost", ["shared", "pair"])
def test_it_equals_a_plain_loop(batch, pairs, cost, seed):
    rows, labels = batch(seed=seed)
    similarity, positives, negatives = pairs(rows, labels)
    loss = bspml(20, cost=cost)
    indices = torch.randperm(20, generator=torch.Generator().manual_seed(seed))[:12]
    with torch.no_grad():
        loss.weights.copy_(torch.rand(20, generator=torch.Generator().manual_seed(seed + 1)))
    v = loss.weights[indices].tolist()
    total = 0.0
    for i, s in enumerate(similarity.tolist()):
        for mask, slope, width in ((positives, -1, 2.0), (negatives, 1, 50.0)):
            kept = {j: math.exp(slope * width * (s[j] - 0.5)) for j in range(12) if mask[i, j]}
            for j, e in kept.items():
                whole = sum(kept.values())
                c = math.log(1 + e) if cost == "pair" else math.log(1 + whole) * e / whole
                total += v[i] * v[j] * c / width
    assert loss(similarity, positives, negatives, indices).item() == pytest.approx(total / 12, rel=1e-9)


def test_an_image_of_weight_0_is_no_anchor(six):
    loss = bspml()
    loss.weights[5] = 0
    positives, negatives = masks(LABELS)
    alone = torch.zeros(6, 6, dtype=torch.bool)
    alone[5] = True
    leaf = (six @ six.T).requires_grad_()
    value = loss(leaf, positives, negatives, torch.arange(6))
    (moved,) = torch.autograd.grad(value, leaf)
    assert moved[5].tolist() == [0.0] * 6
    assert moved[:5].any()
    assert loss(leaf, positives & alone, negatives & alone, torch.arange(6)) is None


def test_weights_are_held_and_have_no_parameter(six):
    loss = bspml()
    assert list(loss.parameters()) == []
    value = loss((six @ six.T).requires_grad_(), *masks(LABELS), torch.arange(6))
    value.backward()
    assert not loss.weights.requires_grad


@pytest.mark.parametrize("cost", ["shared", "pair"])
def test_gradients_agree_with_finite_differences(batch, pairs, cost):
    rows, labels = batch(seed=1)
    loss = bspml(12, cost=cost, beta=10.0)
    with torch.no_grad():
        loss.weights.copy_(torch.linspace(0, 1, 12))

    def of(raw):
        return loss(*pairs(functional.normalize(raw, dim=1), labels), torch.arange(12))

    assert torch.autograd.gradcheck(of, (1.7 * rows).requires_grad_())


# ---- batches


def test_the_mean_of_batch_gradients_is_the_full_one(batch):
    """cost = "pair": (n - 1) / (batch - 1) makes a random batch's sum an unbiased one."""
    rows, labels = batch(classes=3, per_class=4, seed=5)
    loss, generator = bspml(12, cost="pair"), torch.Generator().manual_seed(0)
    with torch.no_grad():
        loss.weights.copy_(torch.rand(12, generator=generator))
    full = loss.both_ways(rows, labels, 12) @ loss.weights
    sums, times = torch.zeros(12, dtype=torch.float64), torch.zeros(12)
    for _ in range(6000):
        drawn = torch.randperm(12, generator=generator)[:5]
        sums[drawn] += loss.both_ways(rows[drawn], labels[drawn], 12) @ loss.weights[drawn]
        times[drawn] += 1
    assert (sums / times).tolist() == pytest.approx(full.tolist(), rel=0.05)


# ---- the weights' part, in training


def train(loss, unit, epochs, start=0):
    """The labels after `epochs` of a thousand, while the network stays as it is."""
    given = None
    for epoch in range(start, start + epochs):
        given = loss.relabel(
            progress=epoch / 1000,
            steps=10**6,
            batch_size=100,
            embed_all=lambda: unit,
            generator=torch.Generator().manual_seed(epoch),
        )
    return given


def clusters():
    """20 classes x 30 unit vectors around random centres; each class gives six away and takes in six.

    Where flips are drawn at random, classes are left with unlike shares of images of their own, and the
    balance term then works against finding them.
    """
    generator = torch.Generator().manual_seed(1)
    own = torch.arange(20).repeat_interleave(30)
    centres = functional.normalize(torch.randn(20, 32, generator=generator), dim=1)
    unit = functional.normalize(centres[own] + 0.09 * torch.randn(600, 32, generator=generator), dim=1)
    image = torch.arange(600) % 30
    wrong = image < 6
    return unit, torch.where(wrong, (own + 1 + 3 * image) % 20, own), wrong


# What the reconstruction was tried with: mu = 1 of 20 classes.
CLUSTERS = {
    "batch": 80,
    "per_class": 5,
    "sweeps": 1,
    "rate": 0.1,
    "balance": 20.0,
    "warm_up": 0.0,
    "age": 1.0,
    "last_percentile": 80.0,
}


def spread(loss):
    """Of the mean weights of the classes."""
    sums = torch.zeros(20).index_add_(0, loss.labels, loss.weights)
    return (sums / torch.bincount(loss.labels)).std().item()


def trained(epochs, **options):
    unit, labels, wrong = clusters()
    loss = Bspml(600, **{**CLUSTERS, **options})
    loss.on_train_start(labels)
    return loss, train(loss, unit, epochs), wrong


def test_clusters_lose_the_wrongly_labelled_images_and_balance_evens_out_the_classes():
    spreads = []
    for balance in (0.0, 20.0):
        loss, _, wrong = trained(20, balance=balance)
        assert loss.weights[~wrong].mean() > 0.99
        assert loss.weights[wrong].mean() < 0.1
        spreads.append(spread(loss))
    assert spreads[1] < 0.7 * spreads[0]


def test_images_of_weight_0_are_left_out_of_the_next_epoch_and_come_back_later():
    loss, given, wrong = trained(7, sweeps=3)
    labels = clusters()[1]
    assert torch.equal(given < 0, loss.dropped())
    assert torch.equal(given[~loss.dropped()], labels[~loss.dropped()])
    assert wrong[loss.dropped()].float().mean() > 0.99
    loss.pace.age = loss.pace.last_age = 100.0
    given = train(loss, clusters()[0], 2, start=7)
    assert torch.equal(given, labels)
    assert not loss.dropped().any()


def test_nothing_happens_before_the_warm_up_is_over():
    loss, given, _ = trained(10, warm_up=0.0095)
    assert given is None
    assert loss.weights.eq(1).all()
    assert train(loss, clusters()[0], 1, start=10) is not None


def test_the_age_starts_at_a_percentile_and_grows_to_another():
    everything = {"batch": 600, "per_class": 60, "age": 0.5, "growth": 1.06}
    unit, labels, _ = clusters()
    costs = Bspml(600).both_ways(unit, labels, 600).sum(dim=1)
    first, last = 0.5 * costs.quantile(0.6).item(), 0.5 * costs.quantile(0.8).item()
    for epochs in (1, 2, 3):
        loss, _, _ = trained(epochs, **everything)
        assert loss.pace.age == pytest.approx(min(1.06**epochs * first, last), rel=1e-5)
    assert 1.06**2 * first < last < 1.06**3 * first
    capped, _, _ = trained(2, **everything, last_percentile=10.0)
    assert capped.pace.age == pytest.approx(first, rel=1e-5)


def test_passes_stay_within_the_budget():
    unit, labels, _ = clusters()
    loss = Bspml(600, **CLUSTERS)
    loss.on_train_start(labels)
    passes = 0

    def embed_all():
        nonlocal passes
        passes += 1
        return unit

    for epoch in range(9):
        loss.relabel(epoch / 9, 40, 100, embed_all, torch.Generator().manual_seed(epoch))
    assert passes == 4000 // 600


def test_a_restored_component_goes_on_as_if_nothing_had_happened():
    whole, _, _ = trained(3)
    restored = Bspml(600, **CLUSTERS)
    restored.load_state_dict(whole.state_dict())
    unit = clusters()[0]
    assert torch.equal(train(restored, unit, 3, start=3), train(whole, unit, 3, start=3))
    assert torch.equal(restored.weights, whole.weights)
    assert restored.pace.age == whole.pace.age


def test_classes_of_few_images_fill_the_batch_with_more_of_them():
    loss = Bspml(60, batch=24, per_class=20, sweeps=2)
    members = [torch.arange(3 * c, 3 * c + 3) for c in range(20)]
    drawn = list(loss._batches(members, 2, torch.Generator().manual_seed(0)))
    assert [len(images) for images in drawn] == [24] * 5
    assert all(len(images.unique()) == 24 for images in drawn)
    assert all(torch.bincount(images // 3, minlength=20).unique().tolist() == [0, 3] for images in drawn)
