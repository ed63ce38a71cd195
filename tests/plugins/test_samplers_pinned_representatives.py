from itertools import pairwise

import pytest
import torch
from dmlbench_plugins.losses.contrastive import contrastive
from dmlbench_plugins.samplers.pinned_representatives import PinnedRepresentatives, nearest
from dmlbench_plugins.samplers.pk import PK
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from dmlbench.api import UsageError
from dmlbench.train.classes import by_class
from dmlbench.train.rows import Rows
from dmlbench.train.scope import Scope
from dmlbench.train.sight import Sight, scope_of

from .counting import Work

few = settings(max_examples=40, deadline=None, derandomize=True)

LABELS = torch.arange(20).repeat_interleave(6)
GROUPS = by_class(LABELS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pinned(labels=LABELS, batch_size=12, **options):
    counts = torch.bincount(labels)
    return PinnedRepresentatives(
        len(counts), len(labels), counts, batch_size, **{"per_class": 3, "lifetime": 4, **options}
    )


class Embedding:
    """Rows of the training images by index, and how many were asked for."""

    def __init__(self, rows):
        self.rows, self.asked = rows, 0

    def __call__(self, indices):
        self.asked += len(indices)
        return self.rows[indices]


def draws(sampler, steps, labels=LABELS, embed=None, seed=0, start=0):
    groups = by_class(labels)
    return [
        sampler.draw(groups, embed, step, generator(1000 * seed + step))
        for step in range(start, start + steps)
    ]


def representatives(batch, labels=LABELS):
    """Class -> its representative in the batch."""
    chosen = batch.indices[batch.roles["is_representative"]]
    return dict(zip(labels[chosen].tolist(), chosen.tolist(), strict=True))


# ---- batches


@few
@given(
    seed=st.integers(0, 9_999),
    per_class=st.integers(2, 6),
    classes=st.integers(1, 8),
    lifetime=st.integers(1, 5),
)
def test_a_batch_has_one_representative_a_class_and_different_others(seed, per_class, classes, lifetime):
    sampler = pinned(batch_size=classes * per_class, per_class=per_class, lifetime=lifetime)
    standing = {}
    for step, batch in enumerate(draws(sampler, 3 * lifetime, seed=seed)):
        assert LABELS[batch.indices].unique(return_counts=True)[1].tolist() == [per_class] * classes
        assert len(batch.indices.unique()) == len(batch.indices)
        assert batch.roles["outer_step"].tolist() == [step // lifetime] * len(batch.indices)
        if step % lifetime == 0:
            standing = {}
        for label, image in representatives(batch).items():
            assert standing.setdefault(label, image) == image


def test_representatives_change_when_an_outer_step_begins_and_at_no_other_time():
    sampler, found = pinned(lifetime=4), []
    for step in range(16):
        (batch,) = draws(sampler, 1, start=step)
        found.append(sampler.pinned.images)
        assert all(sampler.pinned.images[c] == i for c, i in representatives(batch).items())
    changed = [not torch.equal(a, b) for a, b in pairwise(found)]
    assert changed == [step % 4 == 3 for step in range(15)]


def test_every_image_represents_its_class_once_before_one_does_again():
    sampler = pinned(lifetime=1)
    for turn in range(3):
        seen = []
        for step in range(6):
            draws(sampler, 1, start=6 * turn + step)
            seen.append(sampler.pinned.images)
        assert torch.stack(seen).sort(dim=0).values.T.flatten().tolist() == list(range(120))


def test_the_others_of_a_class_take_turns():
    sampler = pinned(labels=torch.zeros(6).long(), batch_size=3, lifetime=50)
    counts = torch.bincount(
        torch.cat([b.indices[1:] for b in draws(sampler, 25, torch.zeros(6).long())]), minlength=6
    )
    own = int(sampler.pinned.images[0])
    assert counts[own] == 0
    assert counts[[i for i in range(6) if i != own]].tolist() == [10] * 5  # 25 batches, two of five


def test_a_former_representative_is_not_owed_the_turns_it_missed():
    sampler, labels = pinned(labels=torch.zeros(6).long(), batch_size=3, lifetime=50), torch.zeros(6).long()
    draws(sampler, 50, labels)
    former = int(sampler.pinned.images[0])
    later = [b.indices[1:].tolist() for b in draws(sampler, 10, labels, start=50)]
    assert 3 <= sum(former in batch for batch in later) <= 5  # 20 places for five images


def test_a_class_of_too_few_images_repeats_others_and_a_lone_image_itself():
    labels = torch.tensor([0, 0, 0, 1, 1, 2] + 4 * [3] + 4 * [4])
    sampler = pinned(labels, batch_size=12, per_class=4, lifetime=2)
    assert sampler.per_class == 3  # the median class has three
    sampler.per_class, sampler.classes = 4, 3
    for batch in draws(sampler, 40, labels):
        for own in batch.indices.view(3, 4):
            assert len(labels[own].unique()) == 1
            images = min(4, int((labels == labels[own[0]]).sum()))
            assert len(own.unique()) == images
            assert images == 1 or own[0] not in own[1:]


def test_where_classes_are_few_there_are_more_images_of_each():
    labels = torch.arange(3).repeat_interleave(40)
    sampler = pinned(labels, batch_size=32, per_class=4)
    (batch,) = draws(sampler, 1, labels)
    assert labels[batch.indices].bincount().tolist() == [10, 10, 10]


def test_about_an_epoch_is_the_usual_lifetime():
    assert pinned(lifetime=0).lifetime == 10
    assert pinned(lifetime=0, batch_size=13).lifetime == 10  # rounded up


def test_without_pinning_batches_are_as_likely_as_in_p_x_k():
    ours, theirs, stream = pinned(lifetime=1), PK(12, per_class=3), generator()
    plain = torch.cat([theirs.draw(GROUPS, stream) for _ in range(1500)])
    own = torch.cat([batch.indices for batch in draws(ours, 1500)])
    for found in (own, plain):
        assert LABELS[found].bincount().tolist() == [pytest.approx(900, rel=0.2)] * 20
        assert found.bincount().tolist() == [pytest.approx(150, rel=0.35)] * 120


# ---- labels that change


def test_an_image_that_no_longer_is_of_the_class_does_not_represent_it():
    sampler, labels = pinned(lifetime=100), LABELS.clone()
    draws(sampler, 1)
    gone = sampler.pinned.images[::2]
    labels[gone] = -1
    for batch in draws(sampler, 30, labels, start=1):
        assert not torch.isin(batch.indices, gone).any()
        assert (labels[batch.indices].view(-1, 3) == labels[batch.indices][::3, None]).all()


def test_too_few_classes_are_refused():
    sampler = pinned()
    with pytest.raises(UsageError, match="a batch needs 4 classes, the training set has 3"):
        draws(sampler, 1, torch.where(LABELS < 3, LABELS, -1))


# ---- hard classes


def test_the_nearest_of_four_representatives_on_a_line():
    assert nearest(torch.tensor([[0.0], [1.0], [3.0], [3.5]]), 1)[:, 0].tolist() == [1, 0, 3, 2]


@few
@given(seed=st.integers(0, 9_999), count=st.integers(1, 6))
def test_the_nearest_equal_a_plain_loop(seed, count):
    rows = torch.randn(300, 5, generator=generator(seed), dtype=torch.float64)
    found = nearest(rows, count)
    for i in range(0, 300, 37):
        apart = [
            (sum((a - b) ** 2 for a, b in zip(rows[i].tolist(), r.tolist(), strict=True)), j)
            for j, r in enumerate(rows)
            if j != i
        ]
        assert found[i].tolist() == [j for _, j in sorted(apart)[:count]]


def kinds():
    """Rows of images whose classes c, c + 5, c + 10 and c + 15 are alike."""
    kind = functional.normalize(torch.randn(5, 12, generator=generator(1)), dim=1)
    own = functional.normalize(torch.randn(20, 12, generator=generator(2)), dim=1)
    return 7 * functional.normalize(kind[torch.arange(20) % 5] + 0.2 * own, dim=1)[LABELS]


def test_a_hard_batch_is_a_seed_and_the_classes_nearest_to_it():
    sampler, embed = pinned(hard=1.0), Embedding(kinds())
    for batch in draws(sampler, 20, embed=embed):
        assert len({label % 5 for label in LABELS[batch.indices].tolist()}) == 1
    assert embed.asked == 5 * 20  # the representatives of five outer steps


def test_every_class_is_a_seed_before_one_is_again():
    sampler, embed = pinned(hard=1.0), Embedding(kinds())
    for turn in range(3):
        seeds = [int(LABELS[b.indices[0]]) for b in draws(sampler, 20, embed=embed, start=20 * turn)]
        assert sorted(seeds) == list(range(20))


def test_so_many_batches_are_hard():
    sampler, embed = pinned(hard=0.4), Embedding(kinds())
    hard = [len({c % 5 for c in LABELS[b.indices].tolist()}) == 1 for b in draws(sampler, 500, embed=embed)]
    assert sum(hard) / 500 == pytest.approx(0.4, abs=0.06)  # random ones are of one kind 1 % of the time


def test_easy_batches_ask_for_no_embedding():
    draws(pinned(hard=0.0), 20, embed=None)


def test_near_classes_that_are_gone_are_replaced():
    sampler, embed, labels = pinned(hard=1.0, lifetime=100), Embedding(kinds()), LABELS.clone()
    draws(sampler, 1, embed=embed)
    labels[LABELS % 5 == 2] = -1
    labels[LABELS == 2] = 2
    for batch in draws(sampler, 60, labels, embed, start=1):
        assert len(labels[batch.indices].unique()) == 4
        assert (labels[batch.indices] >= 0).all()


# ---- as refs of a loss


def test_images_against_representatives_alone():
    rows = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)
    columns = {
        "labels": torch.tensor([0, 0, 1, 1]),
        "indices": torch.arange(4),
        "is_representative": torch.tensor([True, False, True, False]),
    }
    scope = scope_of(
        Scope(), Rows({"unit": rows}, columns, torch.arange(4), 4), Sight(refs="is_representative")
    )
    distance = (2 - 2 * scope["similarity"]).sqrt()
    near, far = 0.632455532033676, 0.894427190999916
    assert distance.flatten().tolist() == pytest.approx([near, far, far, near], rel=0, abs=1e-12)
    masks = scope["positives"], scope["negatives"]
    loss = contrastive(scope["similarity"], *masks, positive_margin=0.25, negative_margin=1.0)
    assert loss.item() == pytest.approx(0.488028341033760, rel=0, abs=1e-12)


# ---- state


@pytest.mark.parametrize("hard", [0.0, 0.5])
@pytest.mark.parametrize("cut", [3, 4, 5, 10])
def test_a_restored_sampler_draws_what_the_other_would_have(cut, hard):
    embed = Embedding(kinds())
    whole, first, resumed = (pinned(hard=hard) for _ in range(3))
    expected = draws(whole, 14, embed=embed)
    draws(first, cut, embed=embed)
    resumed.load_state_dict(first.state_dict())
    for ours, theirs in zip(expected[cut:], draws(resumed, 14 - cut, embed=embed, start=cut), strict=True):
        assert torch.equal(ours.indices, theirs.indices)
        assert torch.equal(ours.roles["outer_step"], theirs.roles["outer_step"])


def test_the_generator_alone_decides():
    first, again, other = (torch.cat([b.indices for b in draws(pinned(), 9, seed=s)]) for s in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_eleven_thousand_classes_need_no_matrix_of_classes():
    labels = torch.arange(11_318).repeat_interleave(5)
    sampler = pinned(labels, batch_size=128, per_class=4, hard=1.0, lifetime=2)
    groups, embed = by_class(labels), Embedding(torch.randn(len(labels), 32, generator=generator()))
    with Work() as work:
        sampler.draw(groups, embed, 0, generator())
    assert work.elements <= 256 * 11_318  # 1 / 44 of classes x classes
    held = [v for state in (sampler.turns, sampler.pinned) for v in state.get_extra_state().values()]
    assert sum(v.numel() for v in held if isinstance(v, torch.Tensor)) == 2 * len(labels) + 11_318 * (2 + 31)


@pytest.mark.parametrize("options", [{"per_class": 1}, {"lifetime": -1}, {"hard": 1.1}])
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match=r"per_class = .*, lifetime = .*, hard = "):
        pinned(**options)
