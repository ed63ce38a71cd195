"""A relabelling that makes more classes than were given."""

import pytest
import torch
from torch import nn

from dmlbench.errors import ContractError, RunError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Augmenter, Term

from .conftest import CLASSES
from .helpers import saved, train


class Split(nn.Module):
    """Every class in two, by the parity of the image."""

    def __init__(self, num_classes):
        super().__init__()
        self.max_classes = 2 * num_classes

    def relabel(self, epoch, train_labels):
        return 2 * train_labels + torch.arange(len(train_labels)) % 2 if epoch == 1 else None


class SplitUnasked(Split):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.max_classes = num_classes


@pytest.fixture
def splitting(method, offer):
    def recipe(loss, splitter=Split):
        return method(loss, others={"split": Component(component=offer("loss", splitter, role="listener"))})

    return recipe


def test_finer_labels_train_while_the_first_ones_stay(make, splitting, offer):
    def look(embeddings, labels, first_labels, indices, step):
        split = 2 * first_labels + indices % 2
        assert torch.equal(labels, first_labels if step < 3 else split)  # an epoch has 3 steps
        return embeddings.square().mean() + embeddings[0, 0]

    recipe = splitting(offer("loss", look))
    trainer, resumed = make(recipe), make(recipe)
    train(trainer, 4)
    resumed.load_state_dict(saved(trainer))
    train(resumed, 2)


def test_who_does_not_say_so_may_not_make_more(make, splitting):
    trainer = make(splitting("dmlbench:contrastive", SplitUnasked))
    with pytest.raises((ContractError, RunError), match=f"labels are -1 to {CLASSES - 1}|returned labels"):
        train(trainer, 4)


@pytest.mark.parametrize("loss", ["normalised-softmax", "proxy-anchor"])
def test_what_has_a_row_for_each_class_given_is_refused_beside_it(make, splitting, loss):
    with pytest.raises(ContractError, match=f"may make {2 * CLASSES} classes of {CLASSES}; loss keeps"):
        make(splitting(f"dmlbench:{loss}"))


def test_what_keeps_nothing_by_class_is_not_refused(make, splitting):
    train(make(splitting("dmlbench:multi-similarity")), 4)


def test_the_first_labels_follow_new_rows(make, method, offer):
    seen = []

    def look(embeddings, labels, first_labels):
        seen.append((labels, first_labels))
        return embeddings.mean() + embeddings.square().sum()

    recipe = method(
        terms={"loss": Term(component=offer("loss", look))},
        augmenters={"das": Augmenter(component="dmlbench:das")},
    )
    train(make(recipe), 1)
    labels, first = seen[0]
    assert torch.equal(labels, first)
    assert len(first) == 4 * 16
