"""What is wrong with a recipe as a whole is an error when it is built."""

import pytest
import torch
from torch import nn

from dmlbench.errors import ContractError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Term


class Keeps(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("now", torch.tensor(0.25))
        self.register_buffer("many", torch.ones(3))

    def forward(self, embeddings):
        return embeddings.sum()


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        ("los.now", "'los.now' names no component of the recipe\n  near loss"),
        ("now", "'now' names no component of the recipe"),
        ("loss.nwo", "loss has no 'nwo'\n  near now"),
        ("loss.many", "'loss.many' is a Tensor, not a number"),
    ],
)
def test_a_weight_that_nothing_keeps(make, method, offer, weight, words):
    with pytest.raises(ContractError, match=words):
        make(method(terms={"loss": Term(component=offer("loss", Keeps), weight=weight)}))


def test_a_weight_that_something_keeps(make, method, offer):
    make(method(terms={"loss": Term(component=offer("loss", Keeps), weight="loss.now")}))


def test_a_readout_that_no_head_offers(make, method):
    with pytest.raises(ContractError, match="readout = 'ball', but the head 'main' has only raw, unit"):
        make(method(readout="ball"))


def test_a_readout_that_needs_a_combiner(make, method):
    with pytest.raises(ContractError, match="needs a combiner"):
        make(method(readout="fused"))


def test_images_too_small_for_the_backbone(make, method, track):
    small = track.model_copy(update={"images": track.images.model_copy(update={"size": 8})})
    with pytest.raises(ContractError, match="dmlbench:conv4 makes 0 features of images of 8 x 8"):
        make(method(), on=small)


def test_a_backbone_of_the_methods_own_is_held_to_it_too(make, method, offer):
    class Nothing(nn.Module):
        feature_dim = 0

        def forward(self, images):
            return images.flatten(1)[:, :0]

    with pytest.raises(ContractError, match="makes 0 features"):
        make(method(backbone=Component(component=offer("backbone", Nothing))))
