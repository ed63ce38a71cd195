import pytest
import torch
from dmlbench_plugins.samplers.n_pair import NPair
from dmlbench_plugins.samplers.n_pair_hard_classes import NPairHardClasses, hardest_first, violations
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from dmlbench.api import UsageError
from dmlbench.train.classes import by_class

from . import reference_proxies as reference
from .counting import Work

FIRST = torch.tensor([[1.0, 0.0], [0.8, 0.5], [-1.0, 0.0], [0.1, 1.0]], dtype=torch.float64)
SECOND = torch.tensor([[0.9, 0.1], [0.9, 0.4], [-0.9, -0.2], [0.0, 0.9]], dtype=torch.float64)

few = settings(max_examples=40, deadline=None, derandomize=True)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Network:
    """Images of `clusters` kinds of classes, five classes of each kind, four images a class."""

    def __init__(self, clusters=16, noise=0.3):
        classes = 5 * clusters
        self.labels = torch.arange(classes).repeat_interleave(4)
        kinds = functional.normalize(torch.randn(clusters, 16, generator=generator(1)), dim=1)
        own = functional.normalize(torch.randn(classes, 16, generator=generator(2)), dim=1)
        self.prototypes = functional.normalize(kinds[torch.arange(classes) % clusters] + 0.5 * own, dim=1)
        spread = torch.randn(len(self.labels), 16, generator=generator(3)) / 4
        self.rows = 3 * functional.normalize(self.prototypes[self.labels] + noise * spread, dim=1)
        self.passes = 0

    def embed(self, indices):
        self.passes += len(indices)
        return self.rows[indices]

    @property
    def groups(self):
        return by_class(self.labels)


def draws(sampler, network, steps, seed=0):
    return [sampler.draw(network.groups, network.embed, generator(seed + s), s).indices for s in range(steps)]


# ---- the order of classes


def test_the_violations_of_four_classes():
    expected = [
        [0, 0, -1.8, -0.9],
        [-0.15, 0, -1.74, -0.47],
        [-1.8, -1.8, 0, -0.9],
        [-0.71, -0.41, -1.19, 0],
    ]
    assert torch.allclose(violations(FIRST, SECOND), torch.tensor(expected, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize(("start", "expected"), [(0, [0, 1, 3, 2]), (2, [2, 3, 1, 0])])
def test_the_class_that_is_violated_most_comes_next(start, expected):
    order = torch.tensor([start, *(c for c in range(4) if c != start)])
    violated = violations(FIRST, SECOND)[order][:, order]
    assert order[hardest_first(violated, 4, "max")].tolist() == expected


@few
@given(seed=st.integers(0, 9_999), classes=st.integers(1, 9), count=st.integers(1, 9))
@pytest.mark.parametrize(("by", "join"), [("max", max), ("sum", sum)])
def test_it_equals_a_plain_loop(seed, classes, count, by, join):
    rows = torch.randn(2, classes, 4, generator=generator(seed), dtype=torch.float64)
    violated = violations(*rows)
    expected = reference.hardest_first(violated.tolist(), 0, count, join)
    assert hardest_first(violated, count, by).tolist() == expected


# ---- batches


@few
@given(seed=st.integers(0, 9_999))
def test_a_batch_is_n_classes_of_two_different_images(seed):
    network = Network()
    batch = NPairHardClasses(16).draw(network.groups, network.embed, generator(seed), 0)
    role = batch.roles["is_positive"]
    assert network.labels[batch.indices].unique(return_counts=True)[1].tolist() == [2] * 8
    assert len(set(batch.indices.tolist())) == 16
    assert torch.equal(network.labels[batch.indices[~role]], network.labels[batch.indices[role]])


def mean_similarity(network, batches):
    """The mean cosine of a batch's class prototypes, over pairs and batches."""
    found = []
    for indices in batches:
        rows = network.prototypes[network.labels[indices].unique()]
        found.append((rows @ rows.T)[~torch.eye(len(rows), dtype=torch.bool)].mean())
    return torch.stack(found).mean().item()


@pytest.mark.parametrize("violation", ["max", "sum"])
def test_the_classes_of_a_batch_are_more_alike_than_at_random(violation):
    network = Network()
    sampler, plain = NPairHardClasses(16, violation=violation), NPair(16)
    hard = mean_similarity(network, draws(sampler, network, 60))
    random = mean_similarity(
        network, [plain.draw(network.groups, generator(seed)).indices for seed in range(60)]
    )
    assert random < 0.1
    assert hard > random + 0.2


def test_every_class_has_its_turn():
    network = Network()
    batches = draws(NPairHardClasses(16, candidates=20, refresh_steps=4), network, 200)
    assert len(network.labels[torch.cat(batches)].unique()) == 80


def test_equal_violations_are_decided_at_random():
    network = Network()
    network.rows = torch.ones_like(network.rows)
    counts = network.labels[torch.cat(draws(NPairHardClasses(16), network, 400))].bincount()
    assert counts.tolist() == [pytest.approx(80, rel=0.5)] * 80


# ---- what it costs and remembers


def test_passes_are_two_a_candidate_at_each_refresh():
    network = Network()
    draws(NPairHardClasses(16, candidates=30, refresh_steps=8), network, 24)
    assert network.passes == 3 * 2 * 30


def test_with_the_defaults_passes_are_half_the_images_of_a_step_of_128():
    sampler = NPairHardClasses(128)
    assert 2 * sampler.candidates / sampler.refresh_steps == 128 / 2


def test_a_sampler_that_takes_over_between_refreshes_draws_the_same():
    network = Network()
    whole, other = NPairHardClasses(16, candidates=30), NPairHardClasses(16, candidates=30)
    draws(whole, network, 3)
    other.load_state_dict(whole.state_dict())
    before = network.passes
    first, second = (
        sampler.draw(network.groups, network.embed, generator(9), 3).indices for sampler in (whole, other)
    )
    assert torch.equal(first, second)
    assert network.passes == before


def test_classes_that_lost_their_images_are_not_drawn_any_more():
    network = Network()
    sampler = NPairHardClasses(16)
    draws(sampler, network, 1)
    network.labels[network.labels % 2 == 0] = -1
    network.labels[1 * 4 : 1 * 4 + 3] = -1  # one image is left of class 1
    for step in range(1, 16):
        batch = sampler.draw(network.groups, network.embed, generator(step), step)
        drawn = network.labels[batch.indices]
        assert (drawn % 2 == 1).all()
        assert (drawn != 1).all()


def test_eleven_thousand_classes_need_a_pool_of_pairs_of_candidates():
    labels = torch.arange(11_318).repeat_interleave(5)
    groups = by_class(labels)
    rows = torch.randn(11_318, 16, generator=generator())
    sampler = NPairHardClasses(128)
    with Work() as work:
        sampler.draw(groups, lambda indices: rows[labels[indices]], generator(), 0)
    assert work.elements == 512 * 512


def test_one_class_with_two_images_is_a_batch():
    batch = NPairHardClasses(4).draw(
        {0: torch.tensor([0, 1]), 1: torch.tensor([2])},
        lambda indices: torch.ones(len(indices), 2),
        generator(),
        0,
    )
    assert sorted(batch.indices.tolist()) == [0, 1]


def test_without_any_pair_it_is_refused():
    with pytest.raises(UsageError, match="no class has two images"):
        NPairHardClasses(4).draw({0: torch.tensor([0])}, lambda indices: indices, generator(), 0)


@pytest.mark.parametrize("options", [{"candidates": 7}, {"refresh_steps": 0}])
def test_settings_that_leave_nothing_to_choose_are_refused(options):
    with pytest.raises(UsageError, match="a batch of 16 chooses 8 classes"):
        NPairHardClasses(16, **options)
