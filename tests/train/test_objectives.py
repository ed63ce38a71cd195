"""Networks with objectives of their own, and who stands still."""

import pytest
import torch
from torch import nn

from dmlbench.api import ParamGroup
from dmlbench.errors import ContractError
from dmlbench.spec.component import Component

from .helpers import train


class Critic(nn.Module):
    """Yields a loss for its own network before the main step, from detached rows."""

    def __init__(self, embedding_dim, num_classes):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(embedding_dim, num_classes), nn.BatchNorm1d(num_classes))
        self.register_buffer("held_until", torch.tensor(0))

    def param_groups(self):
        return [ParamGroup([self.net], objective="critic", optimiser="adam", rate=1e-2)]

    def hold(self, step):
        return {"critic"} if step < int(self.held_until) else set()

    def before_main(self, embeddings, labels):
        assert not embeddings.requires_grad
        yield "critic", nn.functional.cross_entropy(self.net(embeddings), labels)

    def forward(self, embeddings, labels):
        return nn.functional.cross_entropy(self.net(embeddings), labels)


def test_the_main_loss_never_touches_another_objectives_network(make, method, offer):
    trainer = make(method(offer("loss", Critic)))
    critic = trainer.recipe.terms["loss"].object
    critic.before_main = lambda embeddings, labels: ()
    before = [p.clone() for p in critic.net.parameters()]
    trainer.recipe.terms["loss"].read("before_main", critic.before_main)
    train(trainer, 3)
    assert all(map(torch.equal, before, critic.net.parameters()))


def test_an_objective_of_its_own_learns_from_what_is_yielded(make, method, offer):
    trainer = make(method(offer("loss", Critic)))
    critic = trainer.recipe.terms["loss"].object
    before = [p.clone() for p in critic.net.parameters()]
    train(trainer, 1)
    assert not any(map(torch.equal, before, critic.net.parameters()))


def test_the_trunk_never_follows_another_objective(make, method, offer, weights):
    class Shy(Critic):
        def forward(self, embeddings):
            return embeddings.sum() * 0

    trainer = make(method(offer("loss", Shy)))
    for group in trainer.optimisation.optimisers["main/adamw"].param_groups:
        group["weight_decay"] = 0.0
    before = weights(trainer)
    train(trainer, 3)
    assert torch.equal(before, weights(trainer))


class Pause(nn.Module):
    def __init__(self, *, what: str = "main"):
        super().__init__()
        self.what = what

    def hold(self, step):
        return {self.what} if step < 2 else set()


@pytest.mark.parametrize("what", ["main", "backbone"])
def test_a_held_trunk_changes_nothing_statistics_included(make, method, offer, what):
    pause = Component(component=offer("loss", Pause, role="listener"), settings={"what": what})
    trainer = make(method(others={"pause": pause}), budget=320)
    before = {k: v.clone() for k, v in trainer.recipe.model.backbone.state_dict().items()}
    train(trainer, 2)
    after = trainer.recipe.model.backbone.state_dict()
    assert [k for k in before if not torch.equal(before[k], after[k])] == []
    assert (trainer.images_seen, trainer.extra_forwards) == (0, 32)
    trainer.step()
    after = trainer.recipe.model.backbone.state_dict()
    assert not torch.equal(before["blocks.0.0.weight"], after["blocks.0.0.weight"])


def test_holding_something_unknown_is_an_error(make, method, offer):
    pause = Component(component=offer("loss", Pause, role="listener"), settings={"what": "trunk"})
    with pytest.raises(ContractError, match="hold names"):
        make(method(others={"pause": pause})).step()


def test_a_trunk_may_declare_groups_of_its_own(make, method, offer):
    class Slow(nn.Module):
        feature_dim = 4

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def param_groups(self):
            return [ParamGroup(iter([self.weight]), rate=0.0, weight_decay=0.0)]

        def forward(self, images):
            return images.flatten(1)[:, :4] * self.weight

    trainer = make(method(backbone=Component(component=offer("backbone", Slow))))
    train(trainer, 3)
    assert torch.equal(trainer.recipe.model.backbone.weight, torch.ones(4))


class Normed(nn.Module):
    """A head with statistics that every pass in training mode would move."""

    def __init__(self, feature_dim, embedding_dim):
        super().__init__()
        self.embedding_dim = embedding_dim
        self.layers = nn.Sequential(nn.Linear(feature_dim, embedding_dim), nn.BatchNorm1d(embedding_dim))

    def forward(self, features):
        return self.layers(features)


class Asks(Critic):
    """Embeds other features outside the main step."""

    def before_main(self, features, labels, head):
        yield "critic", nn.functional.cross_entropy(self.net(head(5 * features)), labels)

    def after_step(self, features, head):
        head(7 * features)


def test_the_head_may_be_asked_outside_the_main_step_without_a_trace(make, method, offer):
    heads = {"main": Component(component=offer("backbone", Normed, role="head"))}
    states = []
    for critic in (Critic, Asks):
        trainer = make(method(offer("loss", critic), heads=heads))
        trainer.recipe.terms["loss"].object.forward = lambda embeddings: embeddings.var(dim=0).sum()
        trainer.recipe.terms["loss"].read("loss", trainer.recipe.terms["loss"].object.forward)
        train(trainer, 3)
        states.append(trainer.recipe.model.state_dict())
    assert int(states[0]["heads.main.layers.1.num_batches_tracked"]) == 3
    assert [name for name, value in states[0].items() if not torch.equal(value, states[1][name])] == []
