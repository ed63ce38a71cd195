"""A loss that is not finite: who is named."""

import pytest
import torch
from torch import nn

from dmlbench.api import NewRows
from dmlbench.errors import RunError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Augmenter, Term
from dmlbench.train.board import raised_by

from .helpers import train


def good(embeddings):
    return embeddings.mean()


@pytest.fixture
def broken(make):
    """Train three steps; the error's text and who is named."""

    def find(recipe):
        with pytest.raises(RunError) as caught:
            train(make(recipe), 3)
        worker = raised_by(caught.value)
        return str(caught.value), worker.who if worker else None

    return find


def test_of_two_terms_the_one_that_is_nan(broken, method, offer):
    def nan(embeddings):
        return embeddings.sum() * float("nan")

    component = offer("loss", nan)
    said, who = broken(
        method(terms={"a": Term(component=offer("loss", good)), "b": Term(component=component)})
    )
    assert component in who
    assert "b nan" in said
    assert "step 0" in said


def test_a_gradient_that_broke_the_weights_the_step_before(broken, method, offer):
    def distance(embeddings):
        return (embeddings - embeddings).square().sum().sqrt()

    component = offer("loss", distance)
    said, who = broken(method(component))
    assert component in who
    assert "a gradient of an earlier step was not finite" in said
    assert "step 1" in said
    assert "sqrt" in said


def test_of_two_terms_whose_gradient_it_was_is_not_guessed(broken, method, offer):
    def distance(embeddings):
        return (embeddings - embeddings).square().sum().sqrt()

    terms = {"a": Term(component=offer("loss", good)), "b": Term(component=offer("loss", distance))}
    said, who = broken(method(terms=terms))
    assert who is None
    assert "a gradient of an earlier step was not finite" in said


def test_a_backbone_whose_first_features_are_nan(broken, method, offer):
    class Backbone(nn.Module):
        feature_dim = 3

        def forward(self, images):
            return images.flatten(1)[:, :3] * float("nan")

    component = offer("backbone", Backbone)
    said, who = broken(method(backbone=Component(component=component)))
    assert component in who
    assert "the first embeddings are not finite" in said


def test_an_augmenter_whose_rows_are_nan(broken, method, offer):
    def more(unit):
        return NewRows(unit * float("nan"), torch.arange(len(unit)))

    component = offer("augmenter", more, at="unit")
    said, who = broken(method(offer("loss", good), augmenters={"more": Augmenter(component=component)}))
    assert component in who
    assert "an augmenter made rows that are not finite" in said


def test_a_combiner_that_divides_by_zero(broken, method, offer):
    def divides(parts):
        return sum(parts.values()) / 0

    component = offer("loss", divides, role="combiner")
    said, who = broken(method(offer("loss", good), combiner=Component(component=component)))
    assert component in who
    assert "the combiner made it so" in said


def test_a_weight_that_is_infinite(broken, method, offer):
    class Weighs(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("much", torch.tensor(float("inf")))

        def forward(self, embeddings):
            return embeddings.mean()

    terms = {"loss": Term(component=offer("loss", Weighs), weight="loss.much")}
    said, _ = broken(method(terms=terms))
    assert "a weight made it so" in said
