import pytest
import torch
from dmlbench_plugins.losses.center import Center
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dmlbench.spec.track import Optimiser
from dmlbench.train.optimisation import Optimisation

from . import reference

TRACK = Optimiser(name="adamw", rate="2e-3", weight_decay="5e-4", schedule="cosine")

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def center(centers, **options):
    loss = Center(*centers.shape, **options).double()
    with torch.no_grad():
        loss.centers.copy_(centers)
    return loss


def step(loss, rows, labels, progress=0.0):
    """One step of the centres' own objective, as the trainer takes it."""
    optimisation = Optimisation({"center": loss}, TRACK)
    for objective, value in loss.before_main(rows, labels):
        optimisation.step(objective, value, progress, "center")
    return loss.centers.detach()


class OwnObjective(nn.Module):
    """What the centres are trained by."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, rows, labels):
        ((objective, value),) = self.loss.before_main(rows, labels)
        assert objective == "centers"
        return value


def test_half_the_squared_distance_to_the_own_centre():
    loss = center(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    rows = torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    assert loss(rows, torch.tensor([0, 1])).item() == pytest.approx((2 / 2 + 4 / 2) / 2, abs=1e-12)


def test_a_step_of_the_centres_worked_out_by_hand():
    loss = center(torch.tensor([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]]), rate=0.5)
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    moved = step(loss, rows, torch.tensor([0, 0, 1]))
    # Class 0: -0.5 * ((0,0)-(1,0) + (0,0)-(0,1)) / 3; class 1: -0.5 * ((1,1)-(1,3)) / 2; class 2: no image.
    expected = torch.tensor([[1 / 6, 1 / 6], [1.0, 1.5], [5.0, 5.0]], dtype=torch.float64)
    assert torch.allclose(moved, expected, rtol=0, atol=1e-12)


@few
@seeds
@pytest.mark.parametrize("rate", [0.5, 0.05])
def test_the_yielded_objective_makes_the_papers_step(batch, rate, seed):
    rows, labels = batch(seed=seed)
    centers, _ = batch(classes=6, per_class=1, seed=seed + 1)
    labels[0] = 5  # a class of one image; class 4 stays without any
    expected = reference.center_step(rows.tolist(), centers.tolist(), labels.tolist(), rate)
    moved = step(center(centers, rate=rate), rows, labels)
    assert torch.allclose(moved, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_the_step_is_as_large_at_the_end_of_training(batch):
    rows, labels = batch(seed=1)
    centers, _ = batch(classes=4, per_class=1, seed=2)
    assert torch.equal(step(center(centers), rows, labels), step(center(centers), rows, labels, progress=1.0))


@few
@seeds
def test_its_main_term_equals_a_plain_loop(batch, seed):
    rows, labels = batch(seed=seed)
    centers, _ = batch(classes=4, per_class=1, seed=seed + 1)
    expected = reference.center(rows.tolist(), centers.tolist(), labels.tolist())
    assert center(centers)(rows, labels).item() == pytest.approx(expected, rel=1e-12)


def test_the_main_term_pulls_rows_and_leaves_centres_alone(batch):
    rows, labels = batch(seed=1)
    loss = center(batch(classes=4, per_class=1, seed=2)[0])
    rows.requires_grad_()
    loss(rows, labels).backward()
    assert loss.centers.grad is None
    expected = (rows - loss.centers[labels]).detach() / len(rows)
    assert torch.allclose(rows.grad, expected, rtol=1e-12, atol=1e-15)


def test_gradients_agree_with_finite_differences(batch):
    rows, labels = batch(seed=1)
    own = OwnObjective(center(batch(classes=4, per_class=1, seed=2)[0]))

    def of(centers):
        return torch.func.functional_call(own, {"loss.centers": centers}, (rows, labels))

    assert torch.autograd.gradcheck(lambda x: own.loss(x, labels), rows.clone().requires_grad_())
    assert torch.autograd.gradcheck(of, own.loss.centers.detach().clone().requires_grad_())


def test_centres_start_at_the_origin_and_are_saved():
    loss = Center(3, 2)
    assert loss.state_dict().keys() == {"centers"}
    assert torch.equal(loss.centers.detach(), torch.zeros(3, 2))


def test_the_centres_group_is_plain_gradient_descent_without_decay():
    loss = Center(3, 2, rate=0.25)
    ((key, optimiser),) = Optimisation({"center": loss}, TRACK).optimisers.items()
    (group,) = optimiser.param_groups
    assert key == "centers/sgd"
    assert (group["rate"], group["momentum"], group["weight_decay"]) == (0.25, 0, 0)
    assert group["schedule"] == "constant"
