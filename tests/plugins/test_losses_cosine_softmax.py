import math

import pytest
import torch
from dmlbench_plugins.losses.cosine_softmax import CosineSoftmax
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss
from torch.nn import functional

from dmlbench.errors import UsageError
from dmlbench.spec.track import Optimiser
from dmlbench.train.optimisation import Optimisation


def softmax(rows, **options):
    loss = CosineSoftmax(*rows.shape, **options).double()
    with torch.no_grad():
        loss.class_rows.copy_(functional.normalize(rows, dim=1))
    return loss


@pytest.fixture
def three():
    """Two base rows, the row imprinted from (3, 4) and (1, 0), and the query (1, 2) made a unit."""
    rows = torch.tensor([[1.0, 0.0], [0.0, -1.0], [0.894427191, 0.447213595]], dtype=torch.float64)
    return rows, functional.normalize(torch.tensor([[1.0, 2.0]], dtype=torch.float64), dim=1)


def test_the_worked_example_and_its_gradient_for_the_scale(three):
    rows, query = three
    loss = softmax(rows, scale=10.0)
    value = loss(query, torch.tensor([2]))
    value.backward()
    assert value.item() == pytest.approx(0.0289446530, abs=1e-9)
    assert loss.scale.grad.item() == pytest.approx(-0.0100649717, abs=1e-9)
    assert softmax(rows, scale=1.0)(query, torch.tensor([2])).item() == pytest.approx(0.6346870568, abs=1e-8)


def test_it_is_the_softmax_of_squared_distances(three):
    rows, query = three
    logits = -10 / 2 * torch.cdist(query, functional.normalize(rows, dim=1)).square()
    wanted = functional.cross_entropy(logits, torch.tensor([0]))
    assert softmax(rows, scale=10.0)(query, torch.tensor([0])).item() == pytest.approx(wanted.item())


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_it_equals_a_plain_loop_and_pytorch_metric_learning(batch, scale):
    embeddings, labels = batch(seed=1)
    rows = batch(classes=5, per_class=1, seed=2)[0]
    total = 0.0
    for row, label in zip(embeddings.tolist(), labels.tolist(), strict=True):
        logits = [
            scale * sum(a * b for a, b in zip(row, own, strict=True)) / math.hypot(*own)
            for own in rows.tolist()
        ]
        total += math.log(sum(map(math.exp, logits))) - logits[label]
    theirs = NormalizedSoftmaxLoss(num_classes=5, embedding_size=6, temperature=1 / scale)
    theirs.W.data = rows.T.clone()
    found = softmax(rows, scale=scale)(embeddings, labels).item()
    assert found == pytest.approx(total / len(labels), rel=1e-10)
    assert found == pytest.approx(theirs(embeddings, labels).item(), rel=1e-10)


@pytest.mark.parametrize(
    ("classes", "scale", "floor"),
    [(200, 1.0, 4.301914839), (200, 10.0, 0.0085551055), (1000, 10.0, 0.0439238622)],
)
def test_a_low_scale_bounds_the_loss_from_below(classes, scale, floor):
    """Equally spread rows are the best there is: log(1 + (C - 1) exp(-s C / (C - 1)))."""
    rows = torch.eye(classes, dtype=torch.float64) - 1 / classes
    loss = softmax(rows, scale=scale)
    found = loss(functional.normalize(rows, dim=1), torch.arange(classes)).item()
    assert found == pytest.approx(floor, rel=1e-8)


def test_gradients_agree_with_finite_differences(batch):
    embeddings, labels = batch(seed=1)
    loss = softmax(batch(classes=4, per_class=1, seed=2)[0], scale=3.0)

    def of(rows, class_rows, scale):
        return torch.func.functional_call(loss, {"class_rows": class_rows, "scale": scale}, (rows, labels))

    inputs = [p.detach().clone().requires_grad_() for p in (embeddings, loss.class_rows, loss.scale)]
    assert torch.autograd.gradcheck(of, inputs)


def test_rows_have_length_one_at_the_start_and_after_each_step(batch):
    embeddings, labels = batch(seed=3)
    loss = CosineSoftmax(4, 6).double()
    optimiser = torch.optim.SGD(loss.parameters(), lr=0.5)
    for _ in range(5):
        lengths = torch.linalg.vector_norm(loss.class_rows, dim=1)
        assert torch.allclose(lengths, torch.ones(4, dtype=torch.float64), atol=1e-6)
        loss(embeddings, labels).backward()
        optimiser.step()
        assert not torch.allclose(torch.linalg.vector_norm(loss.class_rows, dim=1), lengths, atol=1e-6)
        loss.after_step()


def test_rows_and_scale_have_a_rate_of_their_own_and_no_weight_decay():
    track = Optimiser(name="adamw", rate="1e-3", weight_decay="1e-4", schedule="cosine")
    loss = CosineSoftmax(7, 4, rate_factor=5.0)
    optimisers = Optimisation({"loss": loss}, track).optimisers
    (group,) = [group for optimiser in optimisers.values() for group in optimiser.param_groups]
    assert [id(p) for p in group["params"]] == [id(loss.class_rows), id(loss.scale)]
    assert group["rate"] == pytest.approx(5e-3)
    assert group["weight_decay"] == 0


def test_a_scale_that_is_no_scale_is_refused():
    with pytest.raises(UsageError, match=r"scale = 0\.0: above 0"):
        CosineSoftmax(3, 2, scale=0.0)
