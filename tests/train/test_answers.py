"""What a component of each kind may not answer, and what it may not do to what it was lent."""

import pytest
import torch
from torch import nn

from dmlbench.api import Batch, NewRows, Pairs, Triplets
from dmlbench.errors import ContractError, RunError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Augmenter, Term
from dmlbench.train.board import raised_by

from .helpers import saved, train


@pytest.fixture
def refused(make):
    """Train two steps; the error, which must name the component by its id."""

    def check(recipe, component, words, error=ContractError, steps=2, **options):
        with pytest.raises(error, match=words) as caught:
            train(make(recipe, **options), steps)
        assert component in raised_by(caught.value).who
        return caught.value

    return check


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda e: e.sum(dim=1), r"a tensor of float32 of shape \(16,\)"),
        (lambda e: e.argmax(), r"a tensor of int64 of shape \(\)"),
        (lambda e: 1.0, "returned a float"),
        (lambda e: {}, "an empty dict"),
        (lambda e: {"part": e}, "loss.part returned a tensor"),
        (lambda e: e.detach().sum(), "has no gradient"),
    ],
)
def test_a_loss_answers_a_scalar_that_learns(method, offer, refused, answer, words):
    def loss(embeddings):
        return answer(embeddings)

    component = offer("loss", loss)
    refused(method(component), component, words)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda n: None, "returned None"),
        (lambda n: [1, 2], "returned a list"),
        (lambda n: torch.zeros(4), "a tensor of float32"),
        (lambda n: torch.zeros(4, 2, dtype=torch.int64), r"of shape \(4, 2\)"),
        (lambda n: torch.tensor([n]), "out of bounds"),
        (lambda n: Batch(torch.arange(4), {"best": torch.ones(3)}), "'best' with one value for each of 4"),
    ],
)
def test_a_sampler_draws_indices_of_images(method, offer, refused, answer, words):
    class Draws(nn.Module):
        def __init__(self, num_samples):
            super().__init__()
            self.number = num_samples

        def draw(self):
            return answer(self.number)

    component = offer("sampler", Draws, provides=("best",) if "best" in words else ())
    recipe = method(sampler=Component(component=component))
    refused(recipe, component, words, (ContractError, IndexError))


def test_a_role_that_is_taken_for_refs_says_yes_or_no(method, offer, refused):
    class Draws(nn.Module):
        def draw(self):
            return Batch(torch.arange(4), {"best": torch.tensor([1, 0, 0, 1])})

    component = offer("sampler", Draws, provides=("best",))
    terms = {"loss": Term(component="dmlbench:contrastive", refs="best")}
    refused(method(sampler=Component(component=component), terms=terms), component, "int64 of shape")


@pytest.mark.parametrize(
    "answer", [lambda x: None, lambda x: x, lambda x: x.flatten(1), lambda x: x[:3].flatten(1)]
)
def test_a_backbone_answers_a_row_an_image_as_wide_as_it_says(method, offer, refused, answer):
    class Backbone(nn.Module):
        feature_dim = 7

        def forward(self, images):
            return answer(images)

    component = offer("backbone", Backbone)
    error = refused(method(backbone=Component(component=component)), component, "backbone returned")
    assert "(16, 7)" in error.way_out


def test_a_head_answers_a_row_a_feature(method, offer, refused):
    class Head(nn.Module):
        embedding_dim = 8

        def forward(self, features):
            return features[:, :5]

    component = offer("backbone", Head, role="head")
    refused(method(heads={"main": Component(component=component)}), component, r"shape \(16, 4|5\)")


@pytest.mark.parametrize(
    ("at", "answer", "words"),
    [
        ("unit", lambda u: u, "returned a tensor"),
        ("unit", lambda u: NewRows(u, torch.zeros(16)), "float32 of shape"),
        ("unit", lambda u: NewRows(u, torch.full((16,), -1)), "source -1 is negative"),
        ("unit", lambda u: NewRows(u, torch.full((16,), 16)), "source 16 is past"),
        ("unit", lambda u: NewRows(u[:, :3], torch.arange(16)), r"rows \(16, 3\)"),
        ("raw", lambda r: NewRows([1], torch.arange(1)), "returned a list"),
        ("image", lambda x: 3, "returned a int"),
        ("image", lambda x: x[:3], "returned a tensor"),
    ],
)
def test_an_augmenter_answers_new_rows_with_sources(method, offer, refused, at, answer, words):
    def rows(unit):
        return answer(unit)

    def raws(raw):
        return answer(raw)

    def pictures(images):
        return answer(images)

    component = offer("augmenter", {"unit": rows, "raw": raws, "image": pictures}[at], at=at)
    refused(method(augmenters={"more": Augmenter(component=component)}), component, words)


@pytest.mark.parametrize(
    ("yields", "answer", "words"),
    [
        ("triplets", lambda: torch.zeros(3, 2), "returned a tensor"),
        ("triplets", lambda: None, "returned None"),
        ("triplets", lambda: Triplets(torch.zeros(2, 2, dtype=torch.int64)), r"int64 of shape \(2, 2\)"),
        ("triplets", lambda: Triplets(torch.zeros(3, 2)), "a tensor of float32"),
        ("triplets", lambda: Triplets(torch.tensor([[0], [1], [16]])), "chose ref 16, of 16"),
        ("triplets", lambda: Triplets(torch.tensor([[-1], [1], [2]])), "chose anchor -1, of 16"),
        ("pairs", lambda: Pairs(torch.tensor([[0], [1]]), torch.tensor([[0], [99]])), "chose ref 99"),
        ("weights", lambda: torch.ones(3), r"shape \(3,\)"),
    ],
)
def test_a_miner_answers_positions_of_rows(method, offer, refused, yields, answer, words):
    def mine(embeddings):
        return answer()

    def reads(embeddings, **asked):
        return embeddings.sum()

    read = {
        "pairs": lambda embeddings, pairs: embeddings.sum(),
        "triplets": lambda embeddings, triplets: embeddings.sum(),
        "weights": lambda embeddings, weights: embeddings.sum(),
    }[yields]
    read.__name__ = "reads"
    component = offer("miner", mine, yields=yields)
    terms = {"loss": Term(component=offer("loss", read), miner="m")}
    refused(method(terms=terms, miners={"m": Component(component=component)}), component, words)


def test_a_combiner_answers_a_scalar(method, offer, refused):
    def several(parts):
        return torch.stack(list(parts.values()))

    component = offer("loss", several, role="combiner")
    refused(method(combiner=Component(component=component)), component, r"combiner returned .* shape \(1,\)")


@pytest.mark.parametrize("lent", ["labels", "embeddings", "indices", "class_counts", "train_labels"])
def test_what_is_lent_comes_back_unchanged(method, offer, refused, lent):
    bodies = {
        "labels": lambda embeddings, labels: labels.fill_(0),
        "embeddings": lambda embeddings, labels: embeddings.mul_(2),
        "indices": lambda embeddings, indices: indices.add_(1),
        "class_counts": lambda embeddings, class_counts: class_counts.zero_(),
        "train_labels": lambda embeddings, train_labels: train_labels.zero_(),
    }
    body = bodies[lent]
    body.__name__ = "changes"
    component = offer("loss", body)
    error = refused(method(component), component, f"changed '{lent}' in place")
    assert error.way_out == f"work on a copy: {lent} = {lent}.clone()"


def test_an_event_that_yields_may_not_change_what_it_was_lent_either(method, offer, refused):
    class Listens(nn.Module):
        def forward(self, embeddings):
            return embeddings.sum()

        def before_main(self, labels):
            labels.zero_()
            yield from ()

    component = offer("loss", Listens)
    refused(method(component), component, "changed 'labels' in place")


def test_labels_that_were_changed_behind_torchs_back_are_found_at_the_checkpoint(make, method, offer):
    def sly(embeddings, train_labels):
        train_labels.numpy()[0] = 5
        return embeddings.sum()

    trainer = make(method(offer("loss", sly)))
    train(trainer, 1)
    with pytest.raises(ContractError, match="changed the training labels in place"):
        saved(trainer)


def test_who_asks_for_embeddings_for_ever_is_stopped_at_the_limit(method, offer, refused):
    def greedy(embeddings, embed, indices):
        while True:
            embed(indices)

    class Listens(nn.Module):
        def forward(self, embeddings):
            return embeddings.sum()

        def before_main(self, embed, indices):
            while True:
                embed(indices)

    component = offer("loss", Listens)
    refused(method(component), component, "gradient-free image passes, 320 are allowed", RunError)
