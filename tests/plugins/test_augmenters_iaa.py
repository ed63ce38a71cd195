"""Intra-class adaptive augmentation: its statistics, its copies, and both in the real loop."""

import math

import pytest
import torch
from dmlbench_plugins.augmenters.class_gaussians import Gaussians, class_gaussians
from dmlbench_plugins.augmenters.iaa import Iaa
from dmlbench_plugins.augmenters.iaa_released import IaaReleased
from dmlbench_plugins.losses.multi_similarity import multi_similarity
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from dmlbench.api import UsageError
from dmlbench.protocols import load_track
from dmlbench.train.numerics import Numerics
from dmlbench.train.recipe import Recipe
from dmlbench.train.rows import Rows
from dmlbench.train.scope import Scope
from dmlbench.train.sight import Sight, scope_of

from .counting import Work
from .test_methods import FACTS
from .test_methods import method as load

few = settings(max_examples=30, deadline=None, derandomize=True)
IAA = {"warm_up": 0.0, "every": 1}
REAL_AGAINST_ALL = {"rows": "real", "refs": "all", "own_copies": "exclude"}
THREE = Gaussians(
    torch.tensor([2, 4, 6]),
    torch.tensor([[1.0, 0.0], [1.0, 1.0], [2.0, 0.0]]).double(),
    torch.tensor([[1.0, 2.0], [3.0, 2.0], [5.0, 4.0]]).double(),
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def iaa(classes, dim, kind=Iaa, **options):
    return kind(classes, dim, **{**IAA, **options}).double()


def close(expected):
    return pytest.approx(expected, rel=0, abs=1e-13)


def random_gaussians(classes, dim, seed, spread=1.0):
    stream = generator(seed)
    count = torch.randint(0, 6, (classes,), generator=stream)
    mean = spread * torch.randn(classes, dim, generator=stream, dtype=torch.float64)
    variance = torch.rand(classes, dim, generator=stream, dtype=torch.float64)
    present = (count > 0)[:, None]
    return Gaussians(count, mean * present, variance * (count > 1)[:, None])


def plainly_corrected(classes, *, few, neighbours, beta, gamma, sigma_mean=1.0, sigma_variance=1.0):
    """The correction written as loops over Python floats."""
    count, mean, variance = (values.tolist() for values in classes)
    offers = [k for k, n in enumerate(count) if n > 1]
    out = [list(v) for v in variance]
    if not offers:
        return out
    images = sum(count[k] for k in offers)
    channels = range(len(variance[0]))
    everywhere = [sum(count[k] * variance[k][d] for k in offers) / images for d in channels]
    for k, n in enumerate(count):
        if not 0 < n <= few:
            continue
        d_mean = {i: sum((a * a - b * b) ** 2 for a, b in zip(mean[i], mean[k], strict=True)) for i in offers}
        near = sorted((i for i in offers if i != k), key=lambda i: (d_mean[i], i))[:neighbours]
        w = {}
        for i in near:
            d_variance = sum((a - b) ** 2 for a, b in zip(variance[i], variance[k], strict=True))
            w[i] = count[i] * math.exp(
                -d_mean[i] / (2 * sigma_mean**2) - d_variance / (2 * sigma_variance**2)
            )
        alpha = 1 / (1 + math.log(1 + beta * (n - 1)))
        for d in channels:
            around = sum(w[i] * variance[i][d] for i in near) / sum(w.values()) if near else everywhere[d]
            out[k][d] = (1 - alpha) * variance[k][d] + alpha * ((1 - gamma) * around + gamma * everywhere[d])
    return out


def extended(raw, labels, made, sight):
    """What a term with the flags of `sight` sees of raw rows and of what an augmenter made of them."""
    columns = {"labels": labels, "indices": torch.arange(len(raw))}
    rows = Rows({"raw": raw}, columns, torch.arange(len(raw)), len(raw))
    rows = rows if made is None else rows.extend(made, "raw", "iaa")
    everything = rows.with_views({"unit": functional.normalize(rows.views["raw"], dim=1)})
    return scope_of(Scope(), everything, sight)


def contrastive_sum(scope):
    """The released contrastive: (1/n) sum of [0.8 - s]_+ over positives and [s - 0.5]_+ over negatives."""
    s = scope["similarity"]
    pull = functional.relu(0.8 - s) * scope["positives"]
    push = functional.relu(s - 0.5) * scope["negatives"]
    return ((pull + push).sum() / len(s)).item()


# ---- what is estimated


def test_the_mean_and_variance_of_a_class_worked_out_by_hand():
    rows = torch.tensor([[1.0, 2.0], [9.0, 9.0], [3.0, 2.0], [2.0, 5.0], [4.0, 4.0]]).double()
    found = class_gaussians(rows, torch.tensor([1, -1, 1, 1, 3]), 4)
    assert found.count.tolist() == [0, 3, 0, 1]
    assert found.mean.tolist() == [[0, 0], [2, 3], [0, 0], [4, 4]]
    assert found.variance[1].tolist() == close([2 / 3, 2])
    assert found.variance[[0, 2, 3]].eq(0).all()


def test_a_class_of_few_images_takes_more_from_others():
    share = iaa(1, 1).share(torch.tensor([1, 2, 5, 12, 40, 41]).double())
    expected = [1, 0.912983389032911, 0.748238513751800, 0.574073460808292, 0.386214430432547, 0]
    assert share.tolist() == close(expected)


def test_the_correction_of_three_classes():
    corrected = iaa(3, 2, neighbours=2).corrected(THREE)
    assert corrected[0].tolist() == close([2.88684748301740, 2.09131348458601])
    assert corrected[1].tolist() == close([1.63971981445640, 2.08561880414568])
    assert corrected[2].tolist() == close([3.62180575240591, 2.64813435136963])


def test_with_flat_kernels_neighbours_count_by_their_images():
    flat = iaa(3, 2, neighbours=2, sigma_mean=math.inf, sigma_variance=math.inf).corrected(THREE)
    assert flat[0].tolist() == close([3.87285439749023, 3.07732039905884])


@few
@given(
    seed=st.integers(0, 9_999),
    classes=st.integers(1, 12),
    neighbours=st.integers(1, 5),
    limit=st.integers(0, 6),
    gamma=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_the_correction_equals_a_plain_loop(seed, classes, neighbours, limit, gamma):
    gaussians = random_gaussians(classes, 3, seed)
    options = {"few": limit, "neighbours": neighbours, "beta": 0.3, "gamma": gamma}
    found = iaa(classes, 3, **options).corrected(gaussians)
    expected = torch.tensor(plainly_corrected(gaussians, **options), dtype=torch.float64)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)


@few
@given(seed=st.integers(0, 9_999))
def test_a_corrected_variance_lies_between_those_it_is_made_of(seed):
    gaussians = random_gaussians(9, 4, seed, spread=50.0)  # so far apart that every kernel underflows
    found = iaa(9, 4, neighbours=3).corrected(gaussians)
    own = gaussians.variance
    offered = own[gaussians.count > 1]
    assert found.isfinite().all()
    if len(offered):
        least, most = offered.amin(dim=0), offered.amax(dim=0)
        assert (found >= torch.minimum(own, least) - 1e-12).all()
        assert (found <= torch.maximum(own, most) + 1e-12).all()


def test_of_equally_near_classes_the_lower_ones_are_neighbours():
    gaussians = Gaussians(
        torch.tensor([3, 3, 3, 3, 3]), torch.ones(5, 1).double(), torch.arange(1.0, 6.0).double()[:, None]
    )
    found = iaa(5, 1, neighbours=2, gamma=0.0, few=3, beta=0.0, sigma_variance=math.inf).corrected(gaussians)
    assert found[:, 0].tolist() == close([2.5, 2, 1.5, 1.5, 1.5])


def test_without_few_nothing_is_corrected():
    assert torch.equal(iaa(3, 2, few=0).corrected(THREE), THREE.variance)


@pytest.mark.parametrize(
    ("momentum", "variance", "mean"),
    [(0.2, [1.37333333333333, 3.24], [1.6, 2.4]), (1.0, [1.77777777777778, 3.33333333333333], [2 / 3, 1])],
)
def test_the_released_estimate_runs_on(momentum, variance, mean):
    component = iaa(2, 2, IaaReleased, momentum=momentum)
    component.variance[:] = 1.0
    component.seen[:] = torch.tensor([6, 0])
    new = class_gaussians(
        torch.tensor([[1.0, 2.0], [3.0, 2.0], [2.0, 5.0]]).double(), torch.zeros(3).long(), 2
    )
    component.estimated(new)
    assert component.variance[0].tolist() == pytest.approx(variance, rel=0, abs=1e-12)
    assert component.mean[0].tolist() == pytest.approx(mean, rel=0, abs=1e-12)
    assert component.variance[1].tolist() == [1, 1]  # a class without images is left alone
    assert component.seen.tolist() == [9, 0]


@pytest.mark.parametrize("kind", [Iaa, IaaReleased])
def test_it_estimates_after_the_warm_up_and_then_every_so_many_epochs(kind):
    component = iaa(2, 2, kind, warm_up=0.3, every=3)
    rows, labels, asked = torch.eye(4, 2).double(), torch.tensor([0, 0, 1, -1]), []
    for epoch in range(12):
        component.on_epoch_start(epoch, epoch / 12, labels, lambda e=epoch: asked.append(e) or rows)
        assert (
            component(rows, labels.clamp(min=0), *([0.5] * (kind is IaaReleased)), generator()) is None
        ) == (epoch < 4)
    assert asked == [4, 7, 10]


# ---- what is made


def test_a_copy_worked_out_by_hand(monkeypatch):
    component = iaa(1, 2, copies=1, strength=0.25)
    component.variance[0] = torch.tensor([4.0, 9.0])
    component.estimated_in.fill_(0)
    monkeypatch.setattr(torch, "randn", lambda *shape, generator: torch.tensor([[1.0, -1.0]]))
    made = component(torch.tensor([[1.0, 2.0]]).double(), torch.tensor([0]), generator())
    assert made.rows.tolist() == [[2.0, 0.5]]
    unit = functional.normalize(made.rows, dim=1)
    assert unit[0].tolist() == close([0.970142500145332, 0.242535625036333])


def test_all_copies_have_the_variance_of_their_class_times_the_strength():
    component = iaa(2, 2, copies=3, strength=0.6)
    component.variance[:] = torch.tensor([[16.0, 1.0], [0.0, 4.0]])
    component.estimated_in.fill_(0)
    labels = torch.arange(2).repeat(20_000)
    raw = torch.randn(len(labels), 2, generator=generator(1)).double()
    made = component(raw, labels, generator())
    assert torch.equal(made.source, torch.arange(len(raw)).repeat(3))
    noise = (made.rows - raw[made.source]).unflatten(0, (3, -1))
    for copy in noise:
        for label in range(2):
            found = copy[labels == label].var(dim=0).tolist()
            assert found == pytest.approx((0.6 * component.variance[label]).tolist(), rel=0.04)
    apart = torch.corrcoef(torch.stack([noise[0, ::2, 0], noise[1, ::2, 0]]))[0, 1]
    assert abs(apart) < 0.03  # drawn for each copy


@pytest.mark.parametrize(
    ("progress", "factor"), [(0.4, 1.0), (0.41, 0.9), (0.7, 0.75), (0.81, 0.6), (1.01, 0.6)]
)
def test_the_released_copies_take_roots_of_roots_and_fade(progress, factor):
    component = iaa(1, 1, IaaReleased, copies=3, strength=0.5)
    component.variance[:] = 16.0
    component.estimated_in.fill_(0)
    raw = torch.zeros(30_000, 1).double()
    made = component(raw, torch.zeros(30_000).long(), progress, generator())
    found = [copy.var().item() / (0.5 * factor) for copy in made.rows.unflatten(0, (3, -1))]
    assert found == pytest.approx([16, 4, 2], rel=0.05)  # deviations 4, 2 and root 2


@pytest.mark.parametrize(
    ("copies", "contrastive", "similar"),
    [(0, 0.33, 0.339371987749083), (1, 0.66, 0.423865571980728), (3, 1.32, 0.537744742181227)],
)
def test_copies_without_noise_are_further_candidates_but_not_of_their_source(
    copies, contrastive, similar, four
):
    raw, labels = four
    component = iaa(2, 2, copies=copies, strength=0.0)
    component.estimated_in.fill_(0)
    scope = extended(raw, labels, component(raw, labels, generator()), Sight(**REAL_AGAINST_ALL))
    assert len(scope["anchors"]) == 4
    assert contrastive_sum(scope) == close(contrastive)
    found = multi_similarity(scope["similarity"], scope["positives"], scope["negatives"])
    assert found.item() == close(similar)


def test_the_gradient_goes_to_the_source_as_it_is_and_to_nothing_else():
    component = iaa(2, 3, copies=2)
    component.variance[:] = 1.0
    component.estimated_in.fill_(0)
    raw = torch.randn(4, 3, generator=generator(1)).double().requires_grad_()
    made = component(raw, torch.tensor([0, 1, 0, 1]), generator())
    direction = torch.randn(8, 3, generator=generator(2)).double()
    (gradient,) = torch.autograd.grad(made.rows, raw, direction)
    assert torch.allclose(gradient, direction[:4] + direction[4:])
    assert not any(buffer.requires_grad for buffer in component.buffers())


def test_the_generator_alone_decides():
    component = iaa(1, 3)
    component.variance[:] = 1.0
    component.estimated_in.fill_(0)
    raw, labels = torch.zeros(2, 3).double(), torch.zeros(2).long()
    first, again, other = (component(raw, labels, generator(seed)).rows for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# ---- mechanism


def spearman(a, b):
    ranks = torch.stack([a.argsort().argsort(), b.argsort().argsort()]).double()
    return torch.corrcoef(ranks)[0, 1].item()


def test_neighbours_make_the_variances_of_small_classes_truer():
    """Three images a class; classes of a kind, which lie near each other, vary alike."""
    stream = generator(5)
    kind = torch.arange(120) % 8
    truth = (2 * torch.randn(8, 16, generator=stream, dtype=torch.float64)).exp()[kind] / 50
    place = 2 * torch.randn(8, 16, generator=stream, dtype=torch.float64)[kind]
    labels = torch.arange(120).repeat_interleave(3)
    noise = torch.randn(360, 16, generator=stream, dtype=torch.float64)
    rows = place[labels] + truth[labels].sqrt() * noise

    def against_truth(few):
        component = iaa(120, 16, few=few)
        component.on_epoch_start(0, 0.0, labels, lambda: rows)
        return spearman(component.variance.flatten(), truth.flatten())

    raw, corrected = against_truth(0), against_truth(40)
    assert raw > 0.75  # 0.83
    assert corrected > raw + 0.05  # 0.96


# ---- recipes


def settings_of(name, component):
    facts = {**FACTS, "num_samples": 400}
    built = Recipe(
        load(name), load_track("emoji-conv4-32px-d128"), facts, set(), Numerics("cpu-fp32"), seed=0
    )
    return built.built[component].settings


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("iaa", {"copies": 3, "strength": 0.8, "every": 4, "few": 40, "neighbours": 25, "beta": 0.1}),
        ("iaa", {"gamma": 0.1, "sigma_mean": 1.0, "sigma_variance": 1.0, "warm_up": 0.3}),
        ("triplet-iaa", {"copies": 3, "strength": 0.8, "every": 4, "few": 40}),
        ("iaa-released", {"copies": 3, "strength": 0.8, "every": 2, "momentum": 0.2, "warm_up": 0.3}),
    ],
)
def test_a_recipe_has_the_settings_of_the_source_that_it_names(name, expected):
    found = settings_of(name, "iaa")
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("name", ["iaa", "triplet-iaa"])
def test_a_recipe_and_its_base_differ_in_the_copies_alone(name):
    ours, base = load(name), load(load(name).base)
    plain = {**REAL_AGAINST_ALL, "rows": "all", "refs": "same", "own_copies": "positive"}
    assert ours.terms["loss"] == base.terms["loss"].model_copy(update=REAL_AGAINST_ALL)
    assert base.terms["loss"].model_copy(update=plain) == base.terms["loss"]
    assert ours.miners == base.miners


# ---- size


@pytest.mark.slow
def test_eleven_thousand_classes_of_512_channels_need_no_matrix_of_classes():
    classes, dim = 11_318, 512
    component = Iaa(classes, dim, every=1, warm_up=0.0)
    labels = torch.arange(classes).repeat_interleave(2)
    rows = torch.randn(len(labels), dim, generator=generator())
    with Work() as work:
        component.on_epoch_start(0, 0.0, labels, lambda: rows)
    assert work.elements <= rows.numel()  # classes x classes would be eleven times as many
    assert sum(buffer.numel() for buffer in component.buffers()) == classes * dim + 1  # 23 MB
    assert sum(b.numel() for b in IaaReleased(classes, dim).buffers()) == 2 * classes * dim + classes + 1


@pytest.mark.parametrize("options", [{"copies": -1}, {"strength": -0.1}, {"every": 0}])
@pytest.mark.parametrize("kind", [Iaa, IaaReleased])
def test_settings_out_of_range_are_refused(kind, options):
    with pytest.raises(UsageError, match="at least"):
        kind(2, 2, **options)
