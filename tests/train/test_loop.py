"""The step: its order, what reaches whom, and that a resumed run is the uninterrupted one."""

import pytest
import torch
from torch import nn

from dmlbench.api import Batch, NewRows, Triplets
from dmlbench.errors import ContractError, RunError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Augmenter, Term

from .helpers import saved, train


def test_training_lowers_the_loss(make, method):
    logs = train(make(method("dmlbench:normalised-softmax"), budget=960))
    assert logs[-1]["loss"] < 0.5 * logs[0]["loss"]


def test_the_budget_counts_images_with_gradient_and_is_never_exceeded(make, method):
    trainer = make(method(), budget=100)
    train(trainer)
    assert trainer.images_seen == 96
    assert trainer.extra_forwards == 0


RESUMED = {
    "multi-similarity": {"loss": "dmlbench:multi-similarity"},
    "triplets": {
        "terms": {"loss": Term(component="dmlbench:triplet", miner="m")},
        "miners": {"m": Component(component="dmlbench:semihard")},
    },
    "das": {
        "loss": "dmlbench:multi-similarity",
        "augmenters": {"das": Augmenter(component="dmlbench:das")},
    },
    "center": {
        "terms": {
            "loss": Term(component="dmlbench:normalised-softmax"),
            "center": Term(component="dmlbench:center", weight=0.1),
        }
    },
    "memory": {"terms": {"loss": Term(component="dmlbench:contrastive", refs="memory", memory=40)}},
}


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("cut", [1, 3, 7])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(make, method, weights, name, cut):
    recipe = method(**RESUMED[name])
    whole = make(recipe)
    expected = train(whole)
    half = make(recipe)
    train(half, cut)
    state = saved(half)
    torch.manual_seed(999)  # whatever the global generators were
    rest = make(recipe)
    rest.load_state_dict(state)
    assert train(rest) == expected[cut:]
    assert torch.equal(weights(rest), weights(whole))


def test_a_weight_of_zero_gives_the_base_bit_for_bit(make, method, weights):
    base, zero = (
        Term(component="dmlbench:contrastive"),
        Term(component="dmlbench:normalised-softmax", weight=0),
    )
    alone, both = make(method(terms={"loss": base})), make(method(terms={"loss": base, "zero": zero}))
    train(alone)
    train(both)
    assert torch.equal(weights(alone), weights(both))


def test_another_loss_changes_neither_the_start_nor_the_batches(make, method, offer, weights):
    drawn = {}

    def first(embeddings, indices):
        drawn.setdefault("first", []).append(indices)
        return embeddings.square().sum() * 0

    def second(embeddings, indices):
        drawn.setdefault("second", []).append(indices)
        torch.rand(3)  # a careless use of the global generator
        return embeddings.mean()

    trainers = [make(method(offer("loss", loss))) for loss in (first, second)]
    assert torch.equal(*map(weights, trainers))
    for trainer in trainers:
        while not trainer.done:
            trainer.step()
    assert all(map(torch.equal, drawn["first"], drawn["second"]))


def test_a_component_that_uses_the_global_generator_resumes_exactly_too(make, method, offer, weights):
    def noisy(embeddings, labels):
        return (embeddings * torch.randn(embeddings.shape)).mean()

    recipe = method(offer("loss", noisy))
    whole, half, rest = make(recipe), make(recipe), make(recipe)
    train(whole)
    train(half, 4)
    rest.load_state_dict(saved(half))
    torch.randn(7)
    train(rest)
    assert torch.equal(weights(whole), weights(rest))


def test_synthetic_rows_follow_their_source(make, method, offer):
    seen = {}

    def double(unit, labels):
        source = torch.arange(len(unit)).repeat(2)
        return NewRows(-unit[source], source)

    def look(embeddings, labels, indices, source, is_synthetic):
        seen.update(locals())
        return embeddings.mean()

    augmenters = {"double": Augmenter(component=offer("augmenter", double, at="unit"))}
    make(method(offer("loss", look), augmenters=augmenters)).step()
    assert len(seen["embeddings"]) == 3 * 16
    assert seen["is_synthetic"].tolist() == [False] * 16 + [True] * 32
    for name in ("labels", "indices", "source"):
        assert torch.equal(seen[name], seen[name][:16].repeat(3))
    assert torch.equal(seen["embeddings"][16:32], -seen["embeddings"][:16])


def test_raw_rows_of_an_augmenter_are_normalised_before_terms_see_them(make, method, offer):
    seen = {}

    def longer(raw):
        return NewRows(3 * raw, torch.arange(len(raw)))

    def look(unit, raw):
        seen.update(locals())
        return unit.mean()

    augmenters = {"longer": Augmenter(component=offer("augmenter", longer, at="raw"))}
    make(method(offer("loss", look), augmenters=augmenters)).step()
    assert torch.allclose(seen["unit"][16:], seen["unit"][:16], atol=1e-6)
    assert torch.allclose(seen["raw"][16:], 3 * seen["raw"][:16])


def test_images_that_an_augmenter_adds_count_against_the_budget(make, method, offer):
    def negatives(images):
        return NewRows(-images, torch.arange(len(images)))

    def changed(images):
        return images + 1

    add = {"add": Augmenter(component=offer("augmenter", negatives, at="image"))}
    change = {"change": Augmenter(component=offer("augmenter", changed, at="image"))}
    more, same = make(method(augmenters=add)), make(method(augmenters=change))
    more.step()
    same.step()
    assert (more.images_seen, same.images_seen) == (32, 16)


def test_a_sampler_gives_its_rows_roles_that_others_may_ask_for(make, method, offer):
    class Pinned(nn.Module):
        def draw(self, by_class, generator):
            indices = torch.cat([by_class[c][:2] for c in range(4)])
            return Batch(indices, {"is_representative": torch.arange(8) % 2 == 0})

    def against(similarity, positives, is_representative, anchors, refs):
        assert is_representative.tolist() == [True, False] * 4
        assert similarity.shape == positives.shape == (4, 4)
        assert positives.sum() == 4
        return similarity.mean()

    sampler = Component(component=offer("sampler", Pinned, provides=("is_representative",)))
    terms = {"loss": Term(component=offer("loss", against), refs="is_representative")}
    make(method(terms=terms, sampler=sampler)).step()


def test_a_miner_sees_detached_rows_and_serves_all_who_share_it_once(make, method, offer):
    calls = []

    def mine(embeddings, labels):
        assert not embeddings.requires_grad
        calls.append(1)
        return Triplets(torch.tensor([[0], [1], [4]]))

    terms = {n: Term(component="dmlbench:triplet", miner="m") for n in ("one", "two")}
    make(
        method(terms=terms, miners={"m": Component(component=offer("miner", mine, yields="triplets"))})
    ).step()
    assert len(calls) == 1


def test_a_combiner_replaces_the_sum_and_weights_may_be_a_components_scalar(make, method, offer):
    class Ramp(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("now", torch.tensor(0.25))

        def forward(self, embeddings):
            return embeddings.sum() * 0 + 8.0

    terms = {"loss": Term(component=offer("loss", Ramp), weight="loss.now")}
    assert make(method(terms=terms)).step()["loss"] == pytest.approx(2.0)

    def largest(parts):
        return torch.stack(list(parts.values())).max()

    terms = {"a": Term(component=offer("loss", Ramp)), "b": Term(component="dmlbench:contrastive")}
    combiner = Component(component=offer("loss", largest, role="combiner"))
    assert make(method(terms=terms, combiner=combiner)).step()["loss"] == pytest.approx(8.0)


def test_a_term_with_nothing_to_count_adds_a_zero_that_can_be_differentiated(make, method, offer):
    def nothing(embeddings):
        return None

    log = make(method(offer("loss", nothing))).step()
    assert log["loss"] == 0.0


@pytest.mark.parametrize(
    ("value", "words"), [(lambda e: e.sum() / 0, "inf|nan"), (lambda e: e, "shape"), (lambda e: 1.0, "float")]
)
def test_answers_that_are_no_finite_scalar_are_refused_by_name(make, method, offer, value, words):
    def bad(embeddings):
        return value(embeddings)

    with pytest.raises((RunError, ContractError), match=words):
        make(method(offer("loss", bad))).step()


def test_a_teacher_sees_the_students_pixels_and_learns_nothing(make, method, offer):
    class Teacher(nn.Module):
        feature_dim = 3

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, images):
            assert not self.training
            return images.flatten(1)[:, :3] * self.scale

    def distil(embeddings, teacher, images):
        assert torch.equal(teacher, images.flatten(1)[:, :3])
        return embeddings.mean()

    recipe = method(offer("loss", distil), teacher=Component(component=offer("backbone", Teacher)))
    trainer = make(recipe)
    train(trainer, 2)
    assert not trainer.recipe.teacher.object.scale.requires_grad
    assert trainer.extra_forwards == 32


def test_a_loss_may_know_how_wide_the_teacher_is_where_there_is_one(make, method, offer):
    class Teacher(nn.Module):
        feature_dim = 3

        def forward(self, images):
            return images.flatten(1)[:, :3]

    class Match(nn.Module):
        def __init__(self, embedding_dim, teacher_dim):
            super().__init__()
            self.linear = nn.Linear(embedding_dim, teacher_dim)

        def forward(self, embeddings, teacher, teacher_dim):
            assert teacher.shape[1] == teacher_dim == 3
            return (self.linear(embeddings) - teacher).square().mean()

    loss = offer("loss", Match)
    train(make(method(loss, teacher=Component(component=offer("backbone", Teacher)))), 2)
    with pytest.raises(ContractError, match="'teacher_dim'") as caught:
        make(method(loss))
    assert "[teacher] in the recipe" in caught.value.way_out


def test_terms_with_different_memories_do_not_share_what_a_miner_chose(make, method, offer):
    def mine(refs):
        return Triplets(torch.tensor([[0], [1], [len(refs) - 1]]))

    memories = {
        name: Term(component="dmlbench:triplet", miner="m", refs="memory", memory=rows)
        for name, rows in (("long", 40), ("short", 4))
    }
    miners = {"m": Component(component=offer("miner", mine, yields="triplets"))}
    trainer = make(method(terms=memories, miners=miners))
    train(trainer, 4)  # an index into the long memory would be out of the short one's range
