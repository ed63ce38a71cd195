import math

import pytest
import torch
from dmlbench_plugins.losses import gaussian_subclasses as module
from dmlbench_plugins.losses.gaussian_subclasses import GaussianSubclasses, mixture
from sklearn.mixture import GaussianMixture
from torch.distributions import MultivariateNormal

from dmlbench.api import UsageError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Term

from ..train.conftest import BATCH, SIZE
from ..train.helpers import saved, train

FORMS, PER_FORM = 2, 10
"""What is planted: each of the classes below is two forms, which nobody is told of."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(sizes, apart=8.0, dim=3, seed=0):
    """Rows around far points, and which of them."""
    own = torch.cat([torch.full((n,), i) for i, n in enumerate(sizes)])
    own = own[torch.randperm(len(own), generator=generator(seed))]
    centres = apart * torch.randn(len(sizes), dim, generator=generator(seed + 1), dtype=torch.float64)
    noise = torch.randn(len(own), dim, generator=generator(seed + 2), dtype=torch.float64)
    return centres[own] + noise, own


def splitter(first, **options):
    component = GaussianSubclasses(len(first), int(first.max()) + 1, **options)
    component.on_train_start(first)
    return component


def agreement(found, planted):
    """The share of images in the majority form of their sub-class."""
    table = torch.zeros(int(found.max()) + 1, int(planted.max()) + 1)
    table.index_put_((found, planted), torch.ones(len(found)), accumulate=True)
    return (table.max(dim=1).values.sum() / table.sum()).item()


# ---- the mixture


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
@pytest.mark.parametrize("seed", range(4))
def test_far_blobs_are_its_components(covariance, seed):
    rows, own = blobs([100, 60], seed=seed)
    found = mixture(rows, 2, covariance, 1e-6, generator(seed))
    assert agreement(found, own) == 1
    assert len(found.unique()) == 2


@pytest.mark.parametrize(("covariance", "theirs"), [("full", "full"), ("diagonal", "diag")])
def test_it_ends_where_scikit_learn_does(covariance, theirs):
    """From the same start; theirs goes on until the likelihood stands still."""
    rows, own = blobs([120, 90], apart=1.2, seed=3)
    found = mixture(rows, 2, covariance, 1e-6, generator())
    other = GaussianMixture(2, covariance_type=theirs, means_init=[rows[found == c].mean(0) for c in (0, 1)])
    assert agreement(found, torch.from_numpy(other.fit_predict(rows.numpy()))) > 0.97
    assert 0.8 < agreement(found, own) < 1  # they overlap


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_the_density_is_that_of_gaussians_with_the_shares_moments(covariance):
    rows = torch.randn(50, 3, dtype=torch.float64, generator=generator()) @ torch.randn(
        3, 3, dtype=torch.float64, generator=generator(1)
    )
    share = torch.rand(50, 2, dtype=torch.float64, generator=generator(2))
    found = module._log_density(rows, share, covariance, 0.01)
    for k in range(2):
        spread = torch.cov(rows.T, correction=0, aweights=share[:, k])
        if covariance == "diagonal":
            spread = spread.diagonal().diag()
        mean = (share[:, k, None] * rows).sum(dim=0) / share[:, k].sum()
        gaussian = MultivariateNormal(mean, spread + 0.01 * torch.eye(3))
        expected = gaussian.log_prob(rows) + 1.5 * math.log(2 * math.pi)
        assert torch.allclose(found[:, k], expected, atol=1e-10)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_fewer_rows_than_dimensions_and_equal_rows_have_a_mixture(covariance):
    found = mixture(torch.randn(12, 40, dtype=torch.float64), 2, covariance, 1e-6, generator())
    assert found.shape == (12,)
    assert mixture(torch.ones(12, 4, dtype=torch.float64), 3, covariance, 1e-6, generator()).shape == (12,)


# ---- the new labels


def test_a_class_of_two_far_blobs_is_split_into_them_and_a_small_one_stays_whole():
    rows, own = blobs([100, 100, 99], seed=5)
    first = torch.tensor([0, 0, 1])[own]
    labels = splitter(first).split(rows, 2, generator())
    assert labels.unique().tolist() == [0, 1, 2]
    assert agreement(labels, own) == 1
    assert len(labels[own == 2].unique()) == 1


def test_no_more_components_than_there_are_images_for():
    rows = torch.randn(45, 3, dtype=torch.float64)
    first = torch.tensor([0] * 25 + [1] * 20)
    labels = splitter(first, smallest_class=20).split(rows, 4, generator())
    assert len(labels[:25].unique()) == 2
    assert len(labels[25:].unique()) == 2
    assert labels.unique().tolist() == list(range(4))


def test_images_that_are_left_out_stay_out():
    rows, own = blobs([50, 50], seed=7)
    first = torch.zeros_like(own)
    first[:7] = -1
    labels = splitter(first, smallest_class=20).split(rows, 2, generator())
    assert (labels[:7] == -1).all()
    assert labels[7:].unique().tolist() == [0, 1]


def test_splitting_again_starts_from_the_first_classes():
    rows, own = blobs([100, 100], seed=2)
    component = splitter(torch.zeros_like(own), every=2)
    once = component.relabel(2, lambda: rows, generator())
    again = component.relabel(2, lambda: rows, generator(9))
    assert agreement(once, own) == agreement(again, own) == 1
    assert len(again.unique()) == 2


def test_rounds_come_every_so_often_and_each_makes_one_component_more():
    rows = torch.randn(200, 3, dtype=torch.float64)
    component = splitter(torch.zeros(200, dtype=torch.int64), every=3, rounds=3, largest=3)
    found = [component.relabel(epoch, lambda: rows, generator()) for epoch in range(13)]
    made = {epoch: len(labels.unique()) for epoch, labels in enumerate(found) if labels is not None}
    assert made == {3: 2, 6: 3, 9: 3}


def test_the_generator_alone_decides():
    rows, own = blobs([60, 60], apart=0.5, seed=4)
    component = splitter(torch.zeros_like(own), smallest_class=20)
    first, again = (component.split(rows, 4, generator(3)) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize("options", [{"every": 0}, {"largest": 1}, {"floor": 0.0}, {"images_each": 0}])
def test_settings_without_meaning_are_refused(options):
    with pytest.raises(UsageError):
        GaussianSubclasses(10, 2, **options)


def test_state_is_one_number_an_image():
    component = GaussianSubclasses(59_551, 11_318)
    assert sum(buffer.numel() for buffer in component.buffers()) == 59_551
    assert component.max_classes == 4 * 11_318


# ---- in the loop


@pytest.fixture
def store():
    """Pictures of six classes, each of two forms."""
    forms = 6 * FORMS
    coarse = torch.randint(0, 2, (forms, 4, 4, 1), generator=generator(5)) * 255
    prototypes = coarse.repeat_interleave(SIZE // 4, dim=1).repeat_interleave(SIZE // 4, dim=2)
    own = torch.arange(forms).repeat_interleave(PER_FORM)
    noise = torch.randint(-60, 60, (len(own), SIZE, SIZE, 1), generator=generator(6))
    return (prototypes[own] + noise).clamp(0, 255).to(torch.uint8), own // FORMS


def recipe(method, **changes):
    options = {"every": 1, "largest": 2, "smallest_class": 20, "covariance": "diagonal"} | changes
    splits = {"subclasses": Component(component="dmlbench:gaussian-subclasses", settings=options)}
    terms = {
        "loss": Term(component="dmlbench:gaussian-structure", view="raw"),
        "classes": Term(component="dmlbench:softmax-first-labels", view="raw"),
        "norm": Term(component="dmlbench:frobenius-norm", weight=1e-4),
    }
    return method(terms=terms, others=splits)


def test_planted_forms_are_found(make, method):
    trainer = make(recipe(method))
    train(trainer, 16)  # an epoch has 120 / 16 = 7 steps: two rounds
    found = trainer.state_dict()["labels"]
    planted = torch.arange(6 * FORMS).repeat_interleave(PER_FORM)
    assert found.unique().tolist() == list(range(12))
    shuffled = planted.view(6, -1)[:, torch.randperm(20, generator=generator())].flatten()
    assert agreement(found, planted) > 0.9
    assert agreement(found, shuffled) < 0.75  # what chance comes to


@pytest.mark.parametrize("cut", [3, 7, 8, 14])
def test_a_resumed_run_equals_an_uninterrupted_one(cut, make, method, weights):
    whole, first, resumed = (make(recipe(method)) for _ in range(3))
    train(whole, 16)
    train(first, cut)
    resumed.load_state_dict(saved(first))
    train(resumed, 16 - cut)
    assert torch.equal(weights(whole), weights(resumed))
    assert torch.equal(whole.state_dict()["labels"], resumed.state_dict()["labels"])
    assert int(whole.state_dict()["labels"].max()) == 11


def test_without_rounds_it_is_the_plain_loss_bit_for_bit(make, method, weights):
    never = recipe(method, rounds=0)
    without, with_none, splitting = (
        make(r) for r in (never.model_copy(update={"others": {}}), never, recipe(method))
    )
    for trainer in (without, with_none, splitting):
        train(trainer, 9)
    assert torch.equal(weights(without), weights(with_none))
    assert not torch.equal(weights(without), weights(splitting))


def test_classes_keep_their_classifier_when_they_are_split(make, method):
    trainer = make(recipe(method))
    train(trainer, 9)
    assert trainer.recipe.modules["classes"].classifier.linear.out_features == 6
    assert BATCH % 4 == 0
