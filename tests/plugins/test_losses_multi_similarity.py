import pytest
import torch
from dmlbench_plugins.losses.multi_similarity import multi_similarity
from dmlbench_plugins.miners.multi_similarity import informative as mined
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import MultiSimilarityLoss
from pytorch_metric_learning.miners import MultiSimilarityMiner
from torch.nn import functional

from . import reference

PAPER = {"alpha": 2.0, "beta": 50.0, "base": 1.0}
CODE = {"alpha": 2.0, "beta": 40.0, "base": 0.5}
LIBRARY = {"alpha": 2.0, "beta": 50.0, "base": 0.5}
EXACT = {"rel": 0.0, "abs": 1e-12}

seeds = given(seed=st.integers(0, 9_999))
few = settings(max_examples=25, deadline=None, derandomize=True)


def kept(mask):
    return [row.nonzero().flatten().tolist() for row in mask]


def mined_tuple(similarity, positives, negatives, epsilon):
    """As pytorch-metric-learning writes it: anchor, positive, anchor, negative."""
    p, n = mined(similarity, positives, negatives, epsilon)
    return (*p.nonzero(as_tuple=True), *n.nonzero(as_tuple=True))


@pytest.fixture
def one_anchor():
    """Positives at 0.5 and 0.7, negatives at 0.65, 0.45 and 0.2."""
    similarity = torch.tensor([[0.5, 0.7, 0.65, 0.45, 0.2]], dtype=torch.float64, requires_grad=True)
    positives = torch.tensor([[True, True, False, False, False]])
    return similarity, positives, ~positives


# ---- known answers


def test_mining_keeps_the_pairs_with_tension(four, pairs):
    positives, negatives = mined(*pairs(*four), 0.1)
    assert kept(positives) == [[], [0], [3], []]
    assert kept(negatives) == [[], [2], [1], []]


@pytest.mark.parametrize(
    ("options", "expected"),
    [(PAPER, 0.22952309321042), (CODE, 0.33937198774908), (LIBRARY, 0.33937198762250)],
    ids=["paper", "code", "library"],
)
def test_four_vectors_with_mining(four, pairs, options, expected):
    # torch's softplus leaves out exp(-x) above x = 20, which is 1e-12 of the value here.
    assert multi_similarity(*pairs(*four), **options).item() == pytest.approx(expected, abs=2e-12)


@pytest.mark.parametrize(
    ("options", "expected"),
    [(PAPER, 0.45777690634917), (CODE, 0.49897085643737), (LIBRARY, 0.49881112888116)],
    ids=["paper", "code", "library"],
)
def test_four_vectors_without_mining(four, pairs, options, expected):
    loss = multi_similarity(*pairs(*four), **options, epsilon=None)
    assert loss.item() == pytest.approx(expected, abs=2e-12)


def test_the_defaults_are_those_of_the_authors_code(four, pairs):
    assert multi_similarity(*pairs(*four)).item() == pytest.approx(0.33937198774908, **EXACT)


def test_anchors_without_pairs_count_in_the_divisor(four, pairs):
    value = multi_similarity(*pairs(*four), **PAPER).item()
    assert value == pytest.approx(2 * 0.45904618642084 / 4, **EXACT)


@pytest.mark.parametrize(
    ("options", "value", "pull", "push"),
    [
        (
            PAPER,
            0.85603340741290,
            [0.49062910979842, 0.32887852746650],
            [2.5109990927e-8, 1.1399918244e-12, 0.0],
        ),
        (
            CODE,
            0.64116942288675,
            [0.37448694641850, 0.25102610716300],
            [0.99719368277491, 3.3452121335e-4, 0.0],
        ),
    ],
    ids=["paper", "code"],
)
def test_one_anchor_and_the_weights_of_its_pairs(one_anchor, options, value, pull, push):
    similarity, positives, negatives = one_anchor
    p, n = mined(similarity.detach(), positives, negatives, 0.1)
    assert (kept(p), kept(n)) == ([[0, 1]], [[2, 3]])
    loss = multi_similarity(similarity, positives, negatives, **options)
    assert loss.item() == pytest.approx(value, **EXACT)
    (gradient,) = torch.autograd.grad(loss, similarity)
    assert (-gradient[0, :2]).tolist() == pytest.approx(pull, **EXACT)
    assert gradient[0, 2:].tolist() == pytest.approx(push, rel=1e-9, abs=1e-16)


# ---- against a plain loop


@few
@seeds
@pytest.mark.parametrize("epsilon", [0.1, None])
@pytest.mark.parametrize("options", [PAPER, CODE], ids=["paper", "code"])
def test_it_equals_a_plain_loop(batch, pairs, options, epsilon, seed):
    similarity, positives, negatives = pairs(*batch(seed=seed))
    expected = reference.multi_similarity(
        similarity.tolist(), positives.tolist(), negatives.tolist(), **options, epsilon=epsilon
    )
    loss = multi_similarity(similarity, positives, negatives, **options, epsilon=epsilon)
    assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-10)


@few
@seeds
def test_its_gradient_is_the_weights_of_general_pair_weighting(batch, pairs, seed):
    similarity, positives, negatives = pairs(*batch(seed=seed))
    leaf = similarity.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(multi_similarity(leaf, positives, negatives, **CODE), leaf)
    expected = torch.zeros_like(similarity)
    for i, s in enumerate(similarity.tolist()):
        p, n = reference.mined_pairs(s, positives[i].tolist(), negatives[i].tolist(), 0.1)
        pull, push = reference.multi_similarity_weights(s, p, n, **CODE)
        expected[i, p] = -torch.tensor(pull, dtype=torch.float64)
        expected[i, n] = torch.tensor(push, dtype=torch.float64)
    assert torch.allclose(gradient, expected / len(similarity), rtol=1e-7, atol=1e-12)


def test_weighted_pairs_have_the_same_parameter_gradient_as_the_loss(batch, pairs):
    rows, labels = batch(seed=3)
    layer = torch.nn.Linear(6, 5, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(5, 6, generator=torch.Generator().manual_seed(0)))
    similarity, positives, negatives = pairs(functional.normalize(layer(rows), dim=1), labels)
    loss = multi_similarity(similarity, positives, negatives)
    (weights,) = torch.autograd.grad(loss, similarity, retain_graph=True)
    (direct,) = torch.autograd.grad(loss, layer.weight, retain_graph=True)
    (surrogate,) = torch.autograd.grad((weights.detach() * similarity).sum(), layer.weight)
    assert torch.allclose(direct, surrogate, rtol=1e-12, atol=1e-15)
    assert (weights[positives] <= 0).all()
    assert (weights[negatives] >= 0).all()


def test_anchors_and_refs_may_be_different_rows(batch, pairs):
    rows, labels = batch(classes=3, per_class=1, seed=5)
    refs, ref_labels = batch(classes=4, per_class=5, seed=6)
    similarity, positives, negatives = pairs(rows, labels, refs, ref_labels)
    expected = reference.multi_similarity(
        similarity.tolist(), positives.tolist(), negatives.tolist(), **CODE, epsilon=0.1
    )
    assert similarity.shape == (3, 20)
    assert multi_similarity(similarity, positives, negatives).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("epsilon", [0.1, None])
def test_gradients_agree_with_finite_differences(batch, pairs, epsilon):
    rows, labels = batch(seed=1)

    def loss(raw):
        return multi_similarity(*pairs(functional.normalize(raw, dim=1), labels), epsilon=epsilon)

    assert torch.autograd.gradcheck(loss, (1.7 * rows).requires_grad_())


# ---- against pytorch-metric-learning


@few
@seeds
@pytest.mark.parametrize("options", [PAPER, CODE, LIBRARY], ids=["paper", "code", "library"])
def test_it_equals_pytorch_metric_learning(batch, pairs, options, seed):
    rows, labels = batch(seed=seed)
    theirs = MultiSimilarityLoss(**options)(rows, labels, MultiSimilarityMiner(epsilon=0.1)(rows, labels))
    ours = multi_similarity(*pairs(rows, labels), **options)
    # Sums, not means: later releases divide by the contributing rows.
    assert len(rows) * ours.item() == pytest.approx(len(rows) * theirs.item(), rel=1e-8, abs=1e-9)


def test_it_equals_pytorch_metric_learning_without_mining(batch, pairs):
    rows, labels = batch(seed=2)
    theirs = MultiSimilarityLoss(**LIBRARY)(rows, labels)
    ours = multi_similarity(*pairs(rows, labels), **LIBRARY, epsilon=None)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-8)


@few
@seeds
def test_it_mines_what_pytorch_metric_learning_mines(batch, pairs, seed):
    rows, labels = batch(seed=seed)
    theirs = [
        set(zip(*half, strict=True)) for half in _halves(MultiSimilarityMiner(epsilon=0.1)(rows, labels))
    ]
    ours = [set(zip(*half, strict=True)) for half in _halves(mined_tuple(*pairs(rows, labels), 0.1))]
    assert ours == theirs


def _halves(four_lists):
    a1, p, a2, n = (part.tolist() for part in four_lists)
    return (a1, p), (a2, n)


# ---- properties


@few
@seeds
def test_an_anchor_keeps_negatives_exactly_when_it_keeps_positives(batch, pairs, seed):
    positives, negatives = mined(*pairs(*batch(seed=seed, noise=0.3 + seed % 3)), 0.1)
    assert torch.equal(positives.any(dim=1), negatives.any(dim=1))


@few
@seeds
def test_more_slack_never_removes_a_pair(batch, pairs, seed):
    data = pairs(*batch(seed=seed))
    smaller, larger = mined(*data, 0.05), mined(*data, 0.3)
    assert all((more | ~less).all() for less, more in zip(smaller, larger, strict=True))


def test_slack_of_two_keeps_every_pair(batch, pairs):
    similarity, positives, negatives = pairs(*batch(seed=4))
    p, n = mined(similarity, positives, negatives, 2.0)
    assert torch.equal(p, positives)
    assert torch.equal(n, negatives)


@few
@seeds
def test_the_order_of_the_batch_does_not_matter(batch, pairs, seed):
    rows, labels = batch(seed=seed)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    shuffled = multi_similarity(*pairs(rows[order], labels[order]))
    assert shuffled.item() == pytest.approx(multi_similarity(*pairs(rows, labels)).item(), rel=1e-10)


def test_a_common_rotation_does_not_matter(batch, pairs):
    rows, labels = batch(seed=8)
    rotation, _ = torch.linalg.qr(
        torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    )
    turned = multi_similarity(*pairs(rows @ rotation, labels))
    assert turned.item() == pytest.approx(multi_similarity(*pairs(rows, labels)).item(), rel=1e-10)


def test_a_duplicate_picture_stays_a_positive():
    similarity = torch.tensor([[1.0, 0.95]], dtype=torch.float64, requires_grad=True)
    positives = torch.tensor([[True, False]])
    loss = multi_similarity(similarity, positives, ~positives)
    (gradient,) = torch.autograd.grad(loss, similarity)
    assert gradient[0, 0] == pytest.approx(-1 / (1 + torch.tensor(1.0).exp().item()), rel=1e-6)


def test_a_large_beta_leaves_the_hardest_negative_alone(one_anchor):
    similarity, positives, negatives = one_anchor
    loss = multi_similarity(similarity, positives, negatives, alpha=2.0, beta=1e5, base=0.5)
    at_base = [[0.5, 0.7, 0.5]]  # one negative that is as near as `base` adds log(2) / beta
    pull = reference.multi_similarity(at_base, [[1, 1, 0]], [[0, 0, 1]], 2.0, 1e5, 0.5, None)
    assert loss.item() == pytest.approx(0.65 - 0.5 + pull, abs=2e-5)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "all different"])
@pytest.mark.parametrize("epsilon", [0.1, None])
def test_a_batch_without_both_kinds_of_pairs_gives_zero_and_a_zero_gradient(four, pairs, labels, epsilon):
    rows = four[0].clone().requires_grad_()
    loss = multi_similarity(*pairs(rows, torch.tensor(labels)), epsilon=epsilon)
    (gradient,) = torch.autograd.grad(loss, rows)
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(rows))


def test_beta_50_neither_overflows_nor_loses_the_value_in_single_precision(batch, pairs):
    similarity, positives, negatives = pairs(*batch(seed=9))
    exact = multi_similarity(similarity, positives, negatives, **LIBRARY)
    single = similarity.float().requires_grad_()
    loss = multi_similarity(single, positives, negatives, **LIBRARY)
    (gradient,) = torch.autograd.grad(loss, single)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    assert gradient.isfinite().all()


def test_exponents_past_the_largest_float_are_harmless():
    similarity = torch.tensor([[-1.0, 1.0]], requires_grad=True)
    positives = torch.tensor([[True, False]])
    loss = multi_similarity(similarity, positives, ~positives, alpha=200.0, beta=200.0, base=0.0)
    (gradient,) = torch.autograd.grad(loss, similarity)
    assert loss.item() == pytest.approx(2.0)
    assert gradient.tolist() == [[pytest.approx(-1.0), pytest.approx(1.0)]]
