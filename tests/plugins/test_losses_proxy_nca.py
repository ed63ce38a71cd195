import pytest
import torch
from dmlbench_plugins.losses.proxy_nca import ProxyNca
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss, ProxyNCALoss
from torch.nn import functional

from dmlbench.spec.track import Optimiser
from dmlbench.train.optimisation import Optimisation

from . import reference

# Neither rows nor proxies have unit length: the loss normalises.
TWO = ([[2.0, 0.0], [0.0, 0.5]], [[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0]], [0, 1])
THREE = (
    [[1.0, 2.0], [3.0, -1.0], [-1.0, 1.0]],
    [[1.0, 1.0], [2.0, 0.0], [0.0, -1.0], [-1.0, 2.0]],
    [0, 1, 3],
)

EXACT = {"rel": 0.0, "abs": 1e-10}

few = settings(max_examples=20, deadline=None, derandomize=True)


def proxy_nca(proxies, **options):
    """The loss with proxies given, in float64."""
    values = torch.as_tensor(proxies, dtype=torch.float64)
    loss = ProxyNca(*values.shape, **options).double()
    with torch.no_grad():
        loss.proxies.copy_(values)
    return loss


def value(case, **options):
    rows, proxies, labels = case
    return proxy_nca(proxies, **options)(torch.tensor(rows, dtype=torch.float64), torch.tensor(labels)).item()


def scales(embedding, proxy):
    return {"scale_embedding": float(embedding), "scale_proxy": float(proxy)}


# ---- known answers


@pytest.mark.parametrize(
    ("case", "form", "scale", "expected"),
    [
        (TWO, "paper", (1, 1), -1.5899624042),
        (TWO, "softmax", (1, 1), 0.1912381974),
        (TWO, "paper", (3, 3), -17.6534264021),
        (TWO, "softmax", (3, 3), 2.284496940e-08),
        (THREE, "paper", (1, 1), -0.6651659300),
        (THREE, "softmax", (1, 1), 0.4532449285),
        (THREE, "paper", (3, 3), -10.7422232266),
        (THREE, "softmax", (3, 3), 0.0007100423296),
        (THREE, "paper", (1, 9), -10.7422232266),
        (THREE, "softmax", (1, 9), 0.0007100423296),
        (THREE, "paper", (1, 8), -9.5273906295),
        (THREE, "softmax", (1, 8), 0.0014880032016),
    ],
)
def test_both_forms_at_known_scales(case, form, scale, expected):
    assert value(case, form=form, **scales(*scale)) == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize(
    ("form", "expected"),
    [("paper", (-1.873071989, -1.306852819)), ("softmax", (0.142931628, 0.239544766))],
)
def test_each_row_by_itself(form, expected):
    rows, proxies, labels = TWO
    found = [
        value(([row], proxies, [y]), form=form, **scales(1, 1)) for row, y in zip(rows, labels, strict=True)
    ]
    assert found == pytest.approx(expected, rel=0, abs=1e-9)


def test_the_default_is_the_papers_form_at_scales_of_three():
    assert value(THREE) == pytest.approx(-10.7422232266, **EXACT)


def test_label_smoothing_spreads_the_target_over_all_classes():
    found = value(THREE, form="softmax", label_smoothing=0.1 * 4 / 3, **scales(3, 3))
    assert found == pytest.approx(1.9493584943, **EXACT)  # 0.9 on the label, 0.1 / 3 on each other class


@few
@given(seed=st.integers(0, 9_999))
@pytest.mark.parametrize(
    "options",
    [
        {"form": "paper", **scales(3, 3)},
        {"form": "paper", **scales(1, 2)},
        {"form": "softmax", **scales(3, 3)},
        {"form": "softmax", "label_smoothing": 0.1, **scales(2, 1)},
    ],
    ids=["paper", "paper-uneven", "softmax", "softmax-smooth"],
)
def test_it_equals_a_plain_loop(batch, options, seed):
    rows, labels = batch(seed=seed)
    proxies, _ = batch(classes=5, per_class=1, seed=seed + 1)
    expected = reference.proxy_nca(
        (1.7 * rows).tolist(), (0.3 * proxies).tolist(), labels.tolist(), **options
    )
    found = proxy_nca(0.3 * proxies, **options)(1.7 * rows, labels).item()
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-11)


# ---- the same loss by other names


def test_the_softmax_form_is_cross_entropy_on_scaled_cosines():
    rows, proxies, labels = (torch.tensor(part, dtype=torch.float64) for part in THREE)
    cosines = functional.normalize(rows) @ functional.normalize(proxies).T
    expected = functional.cross_entropy(18 * cosines, labels.long())
    assert value(THREE, form="softmax", **scales(3, 3)) == pytest.approx(expected.item(), **EXACT)


def test_the_softmax_form_equals_pytorch_metric_learning():
    rows, proxies, labels = (torch.tensor(part, dtype=torch.float64) for part in THREE)
    as_proxies = ProxyNCALoss(num_classes=4, embedding_size=2, softmax_scale=9)
    as_softmax = NormalizedSoftmaxLoss(num_classes=4, embedding_size=2, temperature=1 / 18)
    as_proxies.proxies.data = proxies.clone()
    as_softmax.W.data = functional.normalize(proxies).T.clone()
    found = value(THREE, form="softmax", **scales(3, 3))
    assert found == pytest.approx(as_proxies(rows, labels.long()).item(), **EXACT)
    assert found == pytest.approx(as_softmax(functional.normalize(rows), labels.long()).item(), **EXACT)


@pytest.mark.parametrize("seed", range(5))
def test_gradients_of_the_softmax_form_equal_pytorch_metric_learnings(batch, seed):
    rows, labels = batch(seed=seed)
    proxies, _ = batch(classes=4, per_class=1, seed=seed + 50)
    theirs = ProxyNCALoss(num_classes=4, embedding_size=6, softmax_scale=4)
    theirs.proxies.data = proxies.clone()
    ours = proxy_nca(proxies, form="softmax", **scales(2, 2))
    ours(rows, labels).backward()
    theirs(rows, labels).backward()
    assert torch.allclose(ours.proxies.grad, theirs.proxies.grad, rtol=1e-8, atol=1e-10)


# ---- gradients


@pytest.mark.parametrize("form", ["paper", "softmax"])
def test_a_proxys_gradient_is_orthogonal_to_it(batch, form):
    rows, labels = batch(seed=2)
    loss = proxy_nca(2.5 * batch(classes=4, per_class=1, seed=9)[0], form=form)
    loss(rows, labels).backward()
    assert loss.proxies.grad.norm(dim=1).min() > 1e-9
    assert (loss.proxies.grad * loss.proxies).sum(dim=1).abs().max() < 1e-12


@pytest.mark.parametrize("form", ["paper", "softmax"])
def test_a_longer_proxy_changes_its_gradient_and_nothing_else(batch, form):
    rows, labels = batch(seed=2)
    proxies, _ = batch(classes=4, per_class=1, seed=9)
    longer = torch.tensor([1.0, 4.0, 1.0, 1.0], dtype=torch.float64)[:, None]
    before, after = proxy_nca(proxies, form=form), proxy_nca(longer * proxies, form=form)
    first, second = before(rows, labels), after(rows, labels)
    first.backward()
    second.backward()
    assert second.item() == pytest.approx(first.item(), rel=1e-12)
    assert torch.allclose(longer * after.proxies.grad, before.proxies.grad, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(("form", "expected"), [("paper", 2 * 4.0), ("softmax", 0.0)])
def test_only_the_papers_form_still_pulls_a_row_that_is_almost_right(form, expected):
    # A row at the angle t from its proxy; at right angles to it the others, whose distance t leaves as it is.
    angle = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros((), dtype=torch.float64)
    row = torch.stack([angle.cos(), angle.sin(), zero])
    loss = proxy_nca([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]], form=form, **scales(4, 1))
    (gradient,) = torch.autograd.grad(loss(row[None], torch.tensor([0])), angle)
    # d = 16 + 1 - 8 cos t, so that dL/dt = dL/dd * 8 sin t.
    assert gradient.item() / angle.sin().item() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    "options", [{"form": "paper"}, {"form": "softmax"}, {"form": "softmax", "label_smoothing": 0.1}]
)
def test_gradients_agree_with_finite_differences(batch, options):
    rows, labels = batch(seed=1)
    loss = proxy_nca(batch(classes=4, per_class=1, seed=3)[0], **options, **scales(1, 2))

    def of(raw, proxies):
        return torch.func.functional_call(loss, {"proxies": proxies}, (raw, labels))

    inputs = (1.5 * rows).requires_grad_(), loss.proxies.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(of, inputs)


# ---- properties


@pytest.mark.parametrize(
    ("form", "of_gap"),
    [("paper", lambda gap: gap), ("softmax", functional.softplus)],
    ids=["paper", "softmax"],
)
def test_two_classes_compare_two_distances(form, of_gap):
    rows, proxies = [[1.0, 2.0]], [[1.0, 1.0], [2.0, 0.0]]
    x, (own, other) = reference.unit(rows[0]), map(reference.unit, proxies)
    gap = reference.square_distance(x, own) - reference.square_distance(x, other)
    expected = of_gap(torch.tensor(gap, dtype=torch.float64)).item()
    assert value((rows, proxies, [0]), form=form, **scales(1, 1)) == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize("form", ["paper", "softmax"])
def test_the_names_of_the_classes_do_not_matter(form):
    rows, proxies, labels = THREE
    order = [2, 0, 3, 1]
    renamed = (rows, [proxies[c] for c in order], [order.index(y) for y in labels])
    assert value(renamed, form=form) == pytest.approx(value(THREE, form=form), **EXACT)


@pytest.mark.parametrize("form", ["paper", "softmax"])
def test_a_row_opposite_to_its_proxy_at_a_huge_scale_stays_finite_in_single_precision(form):
    loss = ProxyNca(3, 2, form=form, **scales(100, 100))
    with torch.no_grad():
        loss.proxies.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]))
    row = torch.tensor([[-1.0, 0.0]], requires_grad=True)
    found = loss(row, torch.tensor([0]))
    found.backward()
    assert found.item() == pytest.approx(40_000.0)  # d = 200² to its own proxy, 0 to another one
    assert row.grad.isfinite().all()
    assert loss.proxies.grad.isfinite().all()


@pytest.mark.parametrize(("form", "expected"), [("paper", -40_000.0), ("softmax", 0.0)])
def test_proxies_too_far_away_for_an_exponential_still_count_in_single_precision(form, expected):
    loss = ProxyNca(2, 2, form=form, **scales(100, 100))
    with torch.no_grad():
        loss.proxies.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    row = torch.tensor([[1.0, 0.0]], requires_grad=True)
    found = loss(row, torch.tensor([0]))
    found.backward()
    assert found.item() == pytest.approx(expected)
    assert row.grad.isfinite().all()


@pytest.mark.parametrize("factor", [1.0, 10.0])
def test_proxies_have_a_rate_of_their_own_and_no_weight_decay(factor):
    track = Optimiser(name="adamw", rate="2e-3", weight_decay="5e-4", schedule="cosine")
    loss = ProxyNca(7, 4, rate_factor=factor)
    optimisers = Optimisation({"loss": loss}, track).optimisers
    (group,) = [group for optimiser in optimisers.values() for group in optimiser.param_groups]
    assert [id(p) for p in group["params"]] == [id(loss.proxies)]
    assert group["rate"] == pytest.approx(2e-3 * factor)
    assert group["weight_decay"] == 0
