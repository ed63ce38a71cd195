"""Events, services, and state that a checkpoint would miss."""

import pytest
import torch
from torch import nn

from dmlbench.api import State
from dmlbench.errors import ContractError, RunError
from dmlbench.spec.component import Component

from .helpers import saved, train


def test_events_come_in_order_and_fresh_runs_alone_start(make, method, offer):
    class Listener(nn.Module):
        def __init__(self):
            super().__init__()
            self.state = State(heard=[])

        def hear(self, what):
            self.state.heard = [*self.state.heard, what]

        def on_train_start(self, num_classes):
            self.hear("start")

        def relabel(self, train_labels):
            self.hear("relabel")

        def on_epoch_start(self, epoch):
            self.hear(f"epoch {epoch}")

        def before_main(self, raw):
            self.hear("before")

        def after_step(self, parts, valid):
            assert valid == {"loss": True}
            self.hear("after")

    recipe = method(others={"ear": Component(component=offer("loss", Listener, role="listener"))})
    trainer = make(recipe)
    train(trainer, 4)  # an epoch is floor(60 / 16) = 3 steps
    step = ["before", "after"]
    heard = ["start", "relabel", "epoch 0", *step * 3, "relabel", "epoch 1", *step]
    assert trainer.recipe.others["ear"].object.state.heard == heard
    again = make(recipe)
    again.load_state_dict(saved(trainer))
    again.step()
    assert again.recipe.others["ear"].object.state.heard == heard + step


def test_relabelled_images_train_with_their_new_labels_and_left_out_ones_do_not(make, method, offer):
    seen = []

    class Halve(nn.Module):
        def relabel(self, epoch, train_labels):
            return torch.where(train_labels >= 4, -1, train_labels) if epoch == 0 else None

    def look(embeddings, labels):
        seen.append(labels)
        return embeddings.mean()

    others = {"halve": Component(component=offer("loss", Halve, role="listener"))}
    train(make(method(offer("loss", look), others=others)), 5)
    assert set(torch.cat(seen).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.full((60,), 6), "from 6 to 6"),
        (torch.zeros(3, dtype=torch.int64), "shape"),
        (torch.full((60,), -1), "every"),
    ],
)
def test_labels_that_do_not_fit_are_refused(make, method, offer, labels, words):
    class Wrong(nn.Module):
        def relabel(self):
            return labels

    with pytest.raises(ContractError, match=words):
        make(method(others={"wrong": Component(component=offer("loss", Wrong, role="listener"))})).step()


def test_embedding_costs_forwards_and_too_many_stop_the_run(make, method, offer):
    class Greedy(nn.Module):
        def on_epoch_start(self, embed_all):
            embed_all()

    others = {"greedy": Component(component=offer("loss", Greedy, role="listener"))}
    trainer = make(method(others=others), budget=64)
    trainer.step()
    assert trainer.extra_forwards == 60
    with pytest.raises(RunError, match="gradient-free"):
        train(trainer)


def test_embedding_leaves_no_trace_in_the_model(make, method):
    trainer = make(method())
    before = {k: v.clone() for k, v in trainer.recipe.model.state_dict().items()}
    trainer.embed(torch.arange(60))
    assert all(torch.equal(before[k], v) for k, v in trainer.recipe.model.state_dict().items())


@pytest.mark.parametrize("where", ["attribute", "closure"])
def test_state_outside_the_checkpoint_is_noticed_and_named(make, method, offer, where):
    heard = []

    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = 0

        def forward(self, embeddings):
            self.seen += 1
            return embeddings.mean()

    def closure(embeddings):
        heard.append(1)
        return embeddings.mean()

    trainer = make(method(offer("loss", Forgetful if where == "attribute" else closure)))
    trainer.step()
    with pytest.raises(ContractError, match="loss.seen" if where == "attribute" else "heard"):
        trainer.state_dict()
