import math

import pytest
import torch
from dmlbench_plugins.miners.prism import Prism
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from dmlbench.errors import UsageError

from . import reference

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))


def mine(miner, rows, labels, indices=None, refs=None, ref_labels=None):
    """What it chooses, as masks: positives, negatives."""
    indices = torch.arange(len(rows)) if indices is None else indices
    same_side = refs is None
    refs, ref_labels = (rows, labels) if same_side else (refs, ref_labels)
    same = labels[:, None] == ref_labels
    itself = torch.eye(len(rows), dtype=torch.bool) if same_side else torch.zeros_like(same)
    chosen = miner(rows, labels, indices, refs, ref_labels, same & ~itself, ~same)
    masks = []
    for places in (chosen.positive, chosen.negative):
        mask = torch.zeros_like(same)
        mask[tuple(places)] = True
        assert mask.sum() == places.shape[1]
        masks.append(mask)
    return masks


def prism(num_samples=12, num_classes=4, dim=6, **options):
    return Prism(num_samples, num_classes, dim, **options).double()


class PlainPrism:
    """The memory as a list, the decisions one row at a time."""

    def __init__(self, noise_rate, memory, window):
        self.noise_rate, self.memory, self.window = noise_rate, memory, window
        self.remembered, self.quantiles = [], []

    def kept(self, rows, labels):
        centres = {}
        for c in {label for _, label in self.remembered}:
            own = [row for row, label in self.remembered if label == c]
            centres[c] = [sum(column) / len(own) for column in zip(*own, strict=True)]
        fits = []
        for row, label in zip(rows, labels, strict=True):
            if label not in centres:
                fits.append(1.0)
                continue
            exps = {c: math.exp(reference.dot(centre, row)) for c, centre in centres.items()}
            fits.append(exps[label] / sum(exps.values()))
        worst = sorted(fits)[: int(self.noise_rate * len(fits))]
        if worst and worst[-1] < 1:
            self.quantiles = [*self.quantiles, worst[-1]][-self.window :]
            if all(fit <= sum(self.quantiles) / len(self.quantiles) for fit in fits):
                self.quantiles = self.quantiles[-1:]
        threshold = sum(self.quantiles) / len(self.quantiles) if self.quantiles else -math.inf
        kept = [fit > threshold for fit in fits]
        new = [(row, label) for row, label, k in zip(rows, labels, kept, strict=True) if k]
        self.remembered = [*self.remembered, *new][-self.memory :]
        return kept


def test_before_anything_is_remembered_every_pair_is_chosen(batch):
    rows, labels = batch(seed=1)
    miner = prism()
    positives, negatives = mine(miner, rows, labels)
    assert positives.sum() == 12 * 2
    assert negatives.sum() == 12 * 9
    assert not miner.dropped().any()


def test_a_batch_worked_out_by_hand():
    miner = prism(num_samples=9, num_classes=3, dim=2, noise_rate=0.5)
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    mine(miner, first, torch.tensor([0, 1]))
    rows = torch.tensor([[0.8, 0.6], [0.8, 0.6], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 1, 2])
    # exp(0.8) / (exp(0.8) + exp(0.6)) = 0.549834, the rest of 1 is 0.450166; 0.731059; class 2 is not known.
    positives, negatives = mine(miner, rows, labels, torch.tensor([5, 6, 7, 8]))
    assert miner.thresholds[-1].item() == pytest.approx(1 / (1 + math.exp(-0.2)), abs=1e-12)
    assert miner.dropped().nonzero().flatten().tolist() == [5, 6]
    assert not positives.any()
    assert negatives.nonzero().tolist() == [[2, 3], [3, 2]]
    centres, known = miner.centres()
    assert known.all()
    assert centres.tolist() == [[1, 0], [0, 1], [1, 0]]


@few
@seeds
@pytest.mark.parametrize(("noise_rate", "memory", "window"), [(0.5, 30, 2), (0.25, 7, 1), (0.4, 200, 4)])
def test_it_equals_a_plain_loop(batch, noise_rate, memory, window, seed):
    miner = prism(noise_rate=noise_rate, memory=memory, window=window)
    plain = PlainPrism(noise_rate, memory, window)
    draw = torch.Generator().manual_seed(seed)
    for turn in range(6):
        rows, labels = batch(classes=4, per_class=2 + turn % 2, seed=seed)
        rows = functional.normalize(
            rows + 0.3 * torch.randn(rows.shape, generator=draw, dtype=rows.dtype), dim=1
        )
        labels = torch.where(torch.rand(len(labels), generator=draw) < 0.3, (labels + 1) % 4, labels)
        kept = torch.tensor(plain.kept(rows.tolist(), labels.tolist()))
        positives, negatives = mine(miner, rows, labels)
        both, same = kept[:, None] & kept, labels[:, None] == labels
        assert torch.equal(positives, both & same & ~torch.eye(len(rows), dtype=torch.bool))
        assert torch.equal(negatives, both & ~same)
        assert torch.equal(miner.dropped()[: len(rows)], ~kept)


def test_what_it_remembers_is_bounded_and_of_the_rows_that_were_kept_last(batch):
    miner = prism(memory=9)
    sizes = {name: value.shape for name, value in miner.state_dict().items()}
    kept = []
    for turn in range(8):
        rows, labels = batch(seed=turn)
        mine(miner, rows, labels)
        kept += rows[~miner.dropped()].tolist()
    assert {name: value.shape for name, value in miner.state_dict().items()} == sizes
    assert sorted(miner.remembered.tolist()) == sorted(kept[-9:])


def test_a_class_that_is_forgotten_has_no_centre():
    miner = prism(num_samples=9, num_classes=2, dim=2, memory=2)
    rows = torch.eye(2, dtype=torch.float64)
    mine(miner, rows, torch.tensor([0, 1]))
    assert miner.centres()[1].tolist() == [True, True]
    for _ in range(2):
        mine(miner, rows[:1], torch.tensor([0]))
    assert miner.centres()[1].tolist() == [True, False]


def test_a_sudden_fall_of_all_fits_does_not_leave_out_everything():
    miner = prism(num_samples=6, num_classes=3, dim=2, window=5)
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    mine(miner, rows, torch.tensor([0, 1]))
    for _ in range(5):
        mine(miner, rows, torch.tensor([0, 1]))
    swapped = torch.tensor([[0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)
    mine(miner, swapped, torch.tensor([0, 0]), torch.tensor([2, 3]))
    assert miner.dropped()[2:4].tolist() == [True, False]
    assert miner.thresholds.isnan().sum() == 4


def test_refs_are_judged_like_rows(batch):
    miner, (rows, labels) = prism(noise_rate=0.25, window=1), batch(per_class=4, seed=2)
    mine(miner, rows[:12], labels[:12])
    centres, _ = miner.centres()
    refs, ref_labels = rows.repeat(2, 1), torch.cat([labels, (labels + 1) % 4])
    positives, negatives = mine(miner, rows[:12], labels[:12], refs=refs, ref_labels=ref_labels)
    fit = (refs @ centres.T).softmax(dim=1).gather(1, ref_labels[:, None])[:, 0]
    judged = fit > miner.thresholds[-1] + 1e-9
    assert 0 < judged[16:].sum() < judged[:16].sum() < 16
    assert torch.equal((positives | negatives).any(dim=0), judged)


def test_refs_of_a_role_are_refused(batch):
    (rows, labels), role = batch(seed=1), torch.arange(12) % 3 == 0
    same = labels[~role][:, None] == labels[role]
    with pytest.raises(UsageError, match="every row"):
        prism()(rows, labels, torch.arange(12), rows[role], labels[role], same, ~same)


def test_the_latest_decision_on_an_image_counts():
    miner = prism(num_samples=4, num_classes=2, dim=2, window=1)
    rows = torch.eye(2, dtype=torch.float64)
    mine(miner, rows, torch.tensor([0, 1]), torch.tensor([0, 1]))
    mine(miner, rows, torch.tensor([0, 0]), torch.tensor([2, 3]))
    assert miner.dropped().tolist() == [False, False, False, True]
    mine(miner, rows.flip(0), torch.tensor([0, 0]), torch.tensor([2, 3]))
    assert miner.dropped().tolist() == [False, False, True, False]


def test_wrong_labels_among_clusters_are_found():
    generator = torch.Generator().manual_seed(0)
    own = torch.arange(20).repeat_interleave(20)
    centres = torch.randn(20, 16, generator=generator)
    unit = functional.normalize(centres[own] + 0.3 * torch.randn(400, 16, generator=generator), dim=1)
    wrong = torch.rand(400, generator=generator) < 0.3
    labels = torch.where(wrong, (own + torch.randint(1, 20, (400,), generator=generator)) % 20, own)
    miner = Prism(400, 20, 16, noise_rate=0.3, memory=200)
    for _ in range(5):
        for images in torch.randperm(400, generator=generator).split(40):
            mine(miner, unit[images], labels[images], images)
    assert wrong[miner.dropped()].float().mean() > 0.95
    assert miner.dropped()[wrong].float().mean() > 0.95


def test_a_row_that_is_no_number_is_kept_for_the_loss_to_show(batch):
    miner, rows, labels = prism(), *batch(seed=1)
    mine(miner, rows, labels)
    broken = rows.clone()
    broken[3] = torch.nan
    positives, _ = mine(miner, broken, labels)
    assert not miner.dropped()[3]
    assert positives[3].any() == positives[:, 3].any()


@pytest.mark.parametrize("options", [{"noise_rate": 0.0}, {"noise_rate": 1.0}, {"memory": 0}, {"window": 0}])
def test_settings_that_make_no_sense_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        prism(**options)


def test_a_restored_component_goes_on_as_if_nothing_had_happened(batch):
    whole, restored = prism(memory=20), prism(memory=20)
    for turn in range(3):
        mine(whole, *batch(seed=turn))
    restored.load_state_dict(whole.state_dict())
    for turn in range(3, 6):
        expected, found = mine(whole, *batch(seed=turn)), mine(restored, *batch(seed=turn))
        assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert torch.equal(whole.dropped(), restored.dropped())
