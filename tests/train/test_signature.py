"""Mistakes in a signature are found when the recipe is built: what, where, what instead."""

import pytest
from torch import nn

from dmlbench.errors import ContractError, SpecError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Augmenter, Term


def misspelt(embeddings, lables):
    return embeddings.mean()


def misspelt_with_default(embeddings, wieghts=None):
    return embeddings.mean()


def setting_before_the_star(embeddings, margin=0.2):
    return embeddings.mean()


def hidden(embeddings, **more):
    return embeddings.mean()


def wrong_moment(embeddings, parts):
    return embeddings.mean()


def unmined(triplets):
    return triplets.mean()


def no_domain(embeddings, domain):
    return embeddings.mean()


@pytest.mark.parametrize(
    ("loss", "words", "near"),
    [
        (misspelt, "asks for 'lables'", "labels"),
        (misspelt_with_default, "asks for 'wieghts'", "weights"),
        (setting_before_the_star, r"\(…, \*, margin=…\)", None),
        (hidden, "hides what it reads", None),
        (wrong_moment, "does not exist at this moment", None),
        (unmined, "a miner that yields triplets", None),
        (no_domain, "a protocol that shows domains", None),
    ],
)
def test_a_wrong_name_is_an_error_with_file_line_and_way_out(make, method, offer, loss, words, near):
    with pytest.raises(ContractError, match=words) as caught:
        make(method(offer("loss", loss)))
    assert f"test_signature.py:{loss.__code__.co_firstlineno}" in str(caught.value)
    assert caught.value.near == near


def test_a_foreign_signature_is_mapped_in_the_descriptor(make, method, offer):
    def foreign(x, y):
        return x.mean()

    make(method(offer("loss", foreign, reads={"x": "embeddings", "y": "labels"}))).step()


def test_the_backbone_never_sees_labels(make, method, offer, track):
    class Peeking(nn.Module):
        feature_dim = 4

        def forward(self, images, labels):
            return images.flatten(1)[:, :4]

    with pytest.raises(ContractError, match="asks for 'labels'"):
        make(method(backbone=Component(component=offer("backbone", Peeking))))


def test_a_misspelt_event_is_an_error(make, method, offer):
    class Late(nn.Module):
        def on_epoch_begin(self, epoch): ...

        def forward(self, embeddings):
            return embeddings.mean()

    with pytest.raises(ContractError, match="on_epoch_begin") as caught:
        make(method(offer("loss", Late)))
    assert caught.value.near == "on_epoch_start"


def test_raw_rows_that_do_not_exist_are_refused(make, method, offer):
    def wants_raw(raw):
        return raw.mean()

    loss = offer("loss", wants_raw)
    augmenters = {"das": Augmenter(component="dmlbench:das")}
    with pytest.raises(ContractError, match="rows = 'real'"):
        make(method(loss, augmenters=augmenters))
    make(method(terms={"loss": Term(component=loss, rows="real")}, augmenters=augmenters)).step()


def test_a_loss_that_reads_no_refs_cannot_be_given_any(make, method):
    term = Term(component="dmlbench:normalised-softmax", refs="all", rows="real")
    with pytest.raises(ContractError, match="reads no refs"):
        make(method(terms={"loss": term}))


def test_refs_are_a_known_word_or_a_role_of_the_sampler(make, method):
    with pytest.raises(ContractError, match="neither same"):
        make(method(terms={"loss": Term(component="dmlbench:contrastive", refs="is_representative")}))


def test_a_constructor_is_given_facts_and_settings(make, method, offer):
    class Sized(nn.Module):
        def __init__(self, num_classes, embedding_dim, steps, *, scale: float = 2.0):
            super().__init__()
            self.sizes = (num_classes, embedding_dim, steps, scale)

        def forward(self, embeddings):
            return embeddings.mean()

    trainer = make(method(offer("loss", Sized), settings={"scale": 3}))
    assert trainer.recipe.terms["loss"].object.sizes == (6, 8, 20, 3.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"margni": 1}, "no setting 'margni'"), ({"negative_margin": "wide"}, "negative_margin")],
)
def test_settings_are_strict(make, method, settings, words):
    with pytest.raises(SpecError, match=words):
        make(method(settings=settings))
