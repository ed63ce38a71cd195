"""Training where images have several labels: components see those, and nobody sees a class."""

import pytest
import torch
from torch import nn

from dmlbench.api import Batch, Pairs
from dmlbench.errors import ContractError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Augmenter, Term
from dmlbench.train.memory import Memory
from dmlbench.train.names import IN_PLACE_OF
from dmlbench.train.rows import Rows
from dmlbench.train.scope import Scope
from dmlbench.train.sight import Sight, scope_of
from dmlbench.train.values import NewRows

from .helpers import saved, train

LABELS = 5


@pytest.fixture
def relevance(store):
    """Sixty images, one to three labels each, drawn anew for each."""
    generator = torch.Generator().manual_seed(2)
    has = torch.rand(len(store[1]), LABELS, generator=generator) < 0.3
    has[torch.arange(len(has)), torch.randint(LABELS, (len(has),), generator=generator)] = True
    return has


@pytest.fixture
def drawn(offer):
    """A sampler for both kinds of protocol."""

    def any_images(train_indices, batch_size, generator):
        return train_indices[torch.randperm(len(train_indices), generator=generator)[:batch_size]]

    return Component(component=offer("sampler", any_images))


def rows(relevance, unit=None):
    count = len(relevance)
    unit = torch.eye(count) if unit is None else unit
    columns = {"relevance": relevance, "indices": torch.arange(count)}
    return Rows({"unit": unit, "raw": unit}, columns, torch.arange(count), count)


HAS = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]]).bool()


# ---- what a row and a pair see


def test_positives_share_a_label_and_negatives_none():
    scope = scope_of(Scope(), rows(HAS), Sight())
    assert scope["positives"].int().tolist() == [[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0]]
    assert scope["negatives"].int().tolist() == [[0, 0, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 0]]
    assert torch.equal(scope["ref_relevance"], HAS)
    with pytest.raises(KeyError):
        scope["labels"]


def test_a_synthetic_row_has_the_labels_of_its_source():
    grown = rows(HAS).extend(NewRows(torch.ones(2, 4) / 2, torch.tensor([3, 0])), "unit", "test")
    scope = scope_of(Scope(), grown, Sight(rows="real", refs="all"))
    assert torch.equal(scope["relevance"], HAS)
    assert torch.equal(scope["ref_relevance"], HAS[[0, 1, 2, 3, 3, 0]])
    assert scope["positives"][1].int().tolist() == [1, 0, 0, 0, 0, 1]


def test_a_memory_remembers_labels_and_rows_are_compared_by_them():
    memory = Memory(3, 4, num_labels=3)
    memory.push(torch.eye(4), HAS, torch.tensor([7, 8, 9, 10]))
    _, kept, indices = memory.rows()
    assert {int(i): row.tolist() for i, row in zip(indices, kept, strict=True)} == {
        8: [False, True, False], 9: [False, False, True], 10: [True, False, True],
    }  # fmt: skip
    scope = scope_of(Scope(), rows(HAS), Sight(refs="memory"), memory)
    assert torch.equal(scope["ref_relevance"], torch.cat([HAS, kept]))
    shared = HAS.int() @ torch.cat([HAS, kept]).int().T > 0
    assert torch.equal(scope["negatives"], ~shared)
    assert scope["positives"].sum() == shared.sum() - len(HAS)


def test_a_role_splits_the_labels_with_the_rows():
    everything = rows(HAS)
    everything.columns["pinned"] = torch.tensor([True, False, True, False])
    scope = scope_of(Scope(), everything, Sight(refs="pinned"))
    assert torch.equal(scope["ref_relevance"], HAS[[0, 2]])
    assert scope["positives"].int().tolist() == [[1, 0], [1, 1]]


# ---- who is refused


@pytest.mark.parametrize("name", sorted(IN_PLACE_OF))
def test_who_asks_for_a_class_is_refused_when_the_recipe_is_built(
    offer, make, method, drawn, relevance, name
):
    source = f"def wants(embeddings, {name}):\n    return embeddings.sum()\n"
    space: dict = {}
    exec(source, space)
    recipe = method(offer("loss", space["wants"]), sampler=drawn)
    with pytest.raises(ContractError) as caught:
        make(recipe, relevance=relevance)
    assert f"loss.loss asks for {name!r}" in caught.value.message
    assert "several labels and no class" in caught.value.message
    assert repr(IN_PLACE_OF[name]) in caught.value.way_out


@pytest.mark.parametrize("name", sorted(set(IN_PLACE_OF.values())))
def test_who_asks_for_several_labels_is_refused_where_images_have_one_class(offer, make, method, name):
    space: dict = {}
    exec(f"def wants(embeddings, {name}):\n    return embeddings.sum()\n", space)
    with pytest.raises(
        ContractError, match=f"asks for {name!r}.*which nothing in this recipe provides"
    ) as caught:
        make(method(offer("loss", space["wants"])))
    assert caught.value.way_out == "a multi-label protocol"


def test_a_constructor_that_asks_for_classes_is_refused(make, method, drawn, relevance):
    with pytest.raises(ContractError, match=r"loss's constructor asks for 'num_classes'.*no class") as caught:
        make(method("dmlbench:normalised-softmax", sampler=drawn), relevance=relevance)
    assert "'num_labels'" in caught.value.way_out


def test_a_sampler_of_classes_is_refused(make, method, relevance):
    with pytest.raises(ContractError, match=r"sampler\.draw asks for 'by_class'.*no class") as caught:
        make(method(), relevance=relevance)
    assert caught.value.way_out.startswith("the sampler dmlbench:random; 'train_relevance' in its place")


@pytest.mark.parametrize("moment", ["on_train_start", "before_main", "after_step", "dropped"])
def test_no_event_is_a_way_round(offer, make, method, drawn, relevance, moment):
    name = "train_labels" if moment in ("on_train_start", "dropped") else "labels"
    space: dict = {"nn": nn}
    exec(f"class Listener(nn.Module):\n    def {moment}(self, {name}): ...\n", space)
    others = {"spy": Component(component=offer("loss", space["Listener"], role="listener"))}
    with pytest.raises(ContractError, match=f"spy.{moment} asks for {name!r}"):
        make(method(sampler=drawn, others=others), relevance=relevance)


def test_an_augmenter_at_the_images_sees_no_class_either(offer, make, method, drawn, relevance):
    def erase(images, labels):
        return images

    augmenters = {"erase": Augmenter(component=offer("augmenter", erase, at="image"))}
    with pytest.raises(ContractError, match=r"erase\.augment_images asks for 'labels'"):
        make(method(sampler=drawn, augmenters=augmenters), relevance=relevance)


def test_relabelling_has_no_place(offer, make, method, drawn, relevance):
    class Relabel(nn.Module):
        def relabel(self, epoch):
            return None

    others = {"other": Component(component=offer("loss", Relabel, role="listener"))}
    with pytest.raises(ContractError, match="other has the event 'relabel', but here"):
        make(method(sampler=drawn, others=others), relevance=relevance)
    make(method(others=others))


# ---- the loop


def test_the_loop_hands_out_the_labels_of_the_images_that_were_drawn(offer, make, method, drawn, relevance):
    seen = []

    class Spy(nn.Module):
        def __init__(self, num_labels, label_counts, num_samples):
            super().__init__()
            self.facts = num_labels, label_counts.clone(), num_samples

        def on_train_start(self, train_relevance, train_indices):
            seen.append(("start", train_relevance.clone(), train_indices.clone()))

        def forward(self, embeddings, relevance, indices, anchors, refs, ref_relevance, positives):
            seen.append(("step", indices.clone(), relevance.clone(), positives.clone()))
            assert torch.equal(relevance, ref_relevance)
            return (embeddings * relevance.float().sum(dim=1, keepdim=True)).sum()

    def half(raw):
        return NewRows(raw[1::2] / 2, torch.arange(1, len(raw), 2))

    terms = {"spy": Term(component=offer("loss", Spy))}
    augmenters = {"half": Augmenter(component=offer("augmenter", half, at="raw"))}
    trainer = make(method(sampler=drawn, terms=terms, augmenters=augmenters), relevance=relevance)
    assert trainer.recipe.terms["spy"].object.facts[::2] == (LABELS, len(relevance))
    assert torch.equal(trainer.recipe.terms["spy"].object.facts[1], relevance.sum(dim=0))
    train(trainer, steps=4)
    (_, told, everybody), *steps = seen
    assert torch.equal(told, relevance)
    assert everybody.tolist() == list(range(len(relevance)))
    assert len(steps) == 4
    for _, indices, labels, positives in steps:
        assert len(indices) == 24
        assert torch.equal(labels, relevance[indices])
        shared = relevance[indices].int() @ relevance[indices].int().T > 0
        assert torch.equal(positives, shared & ~torch.eye(24, dtype=torch.bool))


def test_a_miner_of_labels_serves_a_loss_of_pairs(offer, make, method, drawn, relevance):
    def sharers(relevance, generator):
        count = relevance.int() @ relevance.int().T
        alike = (count > 1) & ~torch.eye(len(count), dtype=torch.bool)
        return Pairs(alike.nonzero().T, (count == 0).nonzero().T)

    def pull(similarity, pairs):
        return -similarity[tuple(pairs.positive)].sum() + similarity[tuple(pairs.negative)].sum()

    recipe = method(
        sampler=drawn,
        miners={"sharers": Component(component=offer("miner", sharers, yields="pairs"))},
        terms={"loss": Term(component=offer("loss", pull), miner="sharers")},
    )
    trainer = make(recipe, relevance=relevance)
    assert all(torch.tensor([log["loss"] for log in train(trainer, steps=3)]).isfinite())
    assert trainer.mined["sharers"] > 0


@pytest.mark.parametrize("term", [{}, {"refs": "memory", "memory": 40}], ids=["rows", "memory"])
def test_a_run_that_was_cut_ends_with_the_same_bits(make, method, drawn, relevance, weights, term):
    recipe = method(sampler=drawn, terms={"loss": Term(component="dmlbench:contrastive", **term)})
    whole, first = make(recipe, relevance=relevance), make(recipe, relevance=relevance)
    train(whole)
    train(first, steps=7)
    resumed = make(recipe, relevance=relevance)
    resumed.load_state_dict(saved(first))
    train(resumed)
    assert torch.equal(weights(resumed), weights(whole))


@pytest.mark.parametrize("name", ["relevance", "train_relevance"])
def test_changed_labels_are_noticed(offer, make, method, drawn, relevance, name):
    space: dict = {}
    exec(f"def wants(embeddings, {name}):\n    {name}.zero_()\n    return embeddings.sum()\n", space)
    trainer = make(method(offer("loss", space["wants"]), sampler=drawn), relevance=relevance)
    with pytest.raises(ContractError, match=f"changed '{name}' in place"):
        trainer.step()


def test_labels_changed_by_another_door_are_noticed_at_the_checkpoint(offer, make, method, drawn, relevance):
    def sly(embeddings, train_relevance):
        train_relevance.numpy()[:] = False
        return embeddings.sum()

    trainer = make(method(offer("loss", sly), sampler=drawn), relevance=relevance)
    trainer.step()
    with pytest.raises(ContractError, match=r"in place \(train_relevance\)"):
        saved(trainer)


# ---- where images have one class


def test_train_indices_are_the_images_that_are_not_left_out(offer, make, method):
    asked = []

    class LeaveOut(nn.Module):
        def relabel(self, epoch, train_labels):
            labels = train_labels.clone()
            labels[::2] = -1
            return labels

        def on_epoch_start(self, train_indices):
            asked.append(train_indices.tolist())

    def left(train_indices, batch_size):
        return Batch(train_indices[:batch_size])

    others = {"other": Component(component=offer("loss", LeaveOut, role="listener"))}
    sampler = Component(component=offer("sampler", left))
    train(make(method(sampler=sampler, others=others)), steps=2)
    assert asked == [list(range(1, 60, 2))]
