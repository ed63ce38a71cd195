import pytest
import torch
from dmlbench_plugins.losses.binomial_deviance import binomial_deviance
from dmlbench_plugins.losses.multi_similarity import multi_similarity
from dmlbench_plugins.losses.pair_weighting import pair_weighting
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))
PAPER, CODE = {"beta": 50.0, "base": 1.0}, {"beta": 40.0, "base": 0.5}


def contrastive(s, positives, negatives):
    return ((1 - s) * positives + functional.relu(s - 0.5) * negatives).sum() / len(s)


def triplet(s, positives, negatives):
    """Every triplet written out."""
    both = positives[:, :, None] & negatives[:, None, :]
    return (functional.relu(s[:, None, :] - s[:, :, None] + 0.1) * both).sum() / len(s)


def lifted_structure(s, positives, negatives):
    far = (0.5 - s).masked_fill(~positives, -torch.inf).logsumexp(dim=1)
    near = s.masked_fill(~negatives, -torch.inf).logsumexp(dim=1)
    return functional.relu(far + near).sum() / len(s)


def mined(loss, **options):
    return lambda *data: loss(*data, **options)


LOSSES = {
    "contrastive": contrastive,
    "triplet": triplet,
    "lifted-structure": lifted_structure,
    "binomial-deviance": mined(binomial_deviance, alpha=2.0, beta=40.0, base=0.5),
    "multi-similarity": mined(multi_similarity, epsilon=None),
}


def gradient(loss, similarity, positives, negatives):
    leaf = similarity.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf, positives, negatives), leaf)[0]


@few
@seeds
@pytest.mark.parametrize("weighting", LOSSES)
def test_its_weights_are_the_gradient_of_the_loss_that_they_stand_for(batch, pairs, weighting, seed):
    data = pairs(*batch(noise=0.3 + seed % 3, seed=seed))
    expected = gradient(LOSSES[weighting], *data)
    found = gradient(mined(pair_weighting, weighting=weighting, epsilon=None), *data)
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-9)


@few
@seeds
@pytest.mark.parametrize("options", [PAPER, CODE], ids=["paper", "code"])
def test_with_mining_they_are_those_of_multi_similarity(batch, pairs, options, seed):
    data = pairs(*batch(seed=seed))
    expected = gradient(mined(multi_similarity, **options, epsilon=0.1), *data)
    found = gradient(mined(pair_weighting, **options, epsilon=0.1), *data)
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-12)


def test_its_defaults_train_as_the_defaults_of_multi_similarity(batch, pairs):
    data = pairs(*batch(seed=3))
    assert torch.allclose(gradient(pair_weighting, *data), gradient(multi_similarity, *data), rtol=1e-6)


def test_one_anchor_and_the_weights_of_its_pairs():
    similarity = torch.tensor([[0.5, 0.7, 0.65, 0.45, 0.2]], dtype=torch.float64)
    positives = torch.tensor([[True, True, False, False, False]])
    found = gradient(pair_weighting, similarity, positives, ~positives)[0]
    assert (-found[:2]).tolist() == pytest.approx([0.37448694641850, 0.25102610716300], abs=1e-12)
    assert found[2:].tolist() == pytest.approx([0.99719368277491, 3.3452121335e-4, 0], abs=1e-12)
    found = gradient(
        mined(pair_weighting, weighting="triplet", epsilon=None), similarity, positives, ~positives
    )
    # [0.65 - 0.5 + 0.1], [0.45 - 0.5 + 0.1] and [0.65 - 0.7 + 0.1] are open.
    assert found[0].tolist() == [-2, -1, 2, 1, 0]


def test_the_hinge_of_lifted_structure_closes():
    similarity = torch.tensor([[0.9, -0.5], [0.9, 0.5]], dtype=torch.float64)
    positives = torch.tensor([[True, False]] * 2)
    found = gradient(
        mined(pair_weighting, weighting="lifted-structure", epsilon=None), similarity, positives, ~positives
    )
    assert found.tolist() == [[0, 0], [-0.5, 0.5]]


@pytest.mark.parametrize("weighting", LOSSES)
def test_anchors_and_refs_may_be_different_rows(batch, pairs, weighting):
    data = pairs(*batch(classes=3, per_class=1, seed=5), *batch(classes=4, per_class=5, seed=6))
    expected = gradient(LOSSES[weighting], *data)
    found = gradient(mined(pair_weighting, weighting=weighting, epsilon=None), *data)
    assert expected.any()
    assert torch.allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("weighting", LOSSES)
def test_the_value_is_the_weighted_sum_and_falls_with_positives_alone(batch, pairs, weighting):
    similarity, positives, negatives = pairs(*batch(seed=4))
    loss = mined(pair_weighting, weighting=weighting, epsilon=None)
    weights = gradient(loss, similarity, positives, negatives)
    assert loss(similarity, positives, negatives).item() == pytest.approx((weights * similarity).sum().item())
    assert (weights[positives] <= 0).all()
    assert (weights[negatives] >= 0).all()
    assert not weights[~(positives | negatives)].any()


@pytest.mark.parametrize("weighting", LOSSES)
@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one class", "all different"])
def test_a_batch_without_both_kinds_of_pairs_has_finite_weights(four, pairs, weighting, labels):
    data = pairs(four[0], torch.tensor(labels))
    expected = {"contrastive": contrastive, "binomial-deviance": LOSSES["binomial-deviance"]}.get(weighting)
    found = gradient(mined(pair_weighting, weighting=weighting, epsilon=None), *data)
    if expected is None:
        assert not found.any()
    else:
        assert torch.allclose(found, gradient(expected, *data))


def test_all_triplets_are_weighed_without_writing_one_out(batch, pairs):
    class Largest(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor):
                self.elements = max(self.elements, made.numel())
            return made

    data = pairs(*batch(classes=8, per_class=12))
    with Largest() as largest:
        pair_weighting(*data, weighting="triplet", epsilon=None)
    assert 0 < largest.elements <= 2 * 96 * 96
