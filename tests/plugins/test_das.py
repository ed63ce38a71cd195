import pytest
import torch
from dmlbench_plugins.augmenters import das as module
from dmlbench_plugins.augmenters.das import Das
from dmlbench_plugins.losses.multi_similarity import multi_similarity
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from dmlbench.train.rows import Rows
from dmlbench.train.scope import Scope
from dmlbench.train.sight import Sight, scope_of

from . import reference

few = settings(max_examples=25, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))

IDENTITY = {"scale_low": 1.0, "scale_high": 1.0, "shift": 0.0}


def das(classes, dim, **options):
    return Das(classes, dim, **options).double()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def banks(component):
    """The held differences of each class, sorted."""
    held = component.pushed.clamp(max=component.differences.shape[1]).tolist()
    return [sorted(bank[:n].tolist()) for bank, n in zip(component.differences, held, strict=True)]


def scales(made, unit):
    """s of each new row, where the shift is 0 and the last channel is not scaled."""
    ratio = made.rows / unit[made.source]
    return ratio / ratio[:, -1:]


def extended(unit, labels, made):
    """The rows of a step with what an augmenter made, as a loss sees them."""
    columns = {"labels": labels, "indices": torch.arange(len(unit))}
    rows = Rows({"unit": unit}, columns, torch.arange(len(unit)), len(unit))
    return rows if made is None else rows.extend(made, "unit", "das")


def loss_on(rows):
    scope = scope_of(Scope(), rows, Sight())
    return multi_similarity(scope["similarity"], scope["positives"], scope["negatives"])


# ---- what it records and remembers


def test_largest_signed_channels_are_counted_by_class():
    component = das(2, 4, channels=2)
    rows = torch.tensor([[0.6, 0.1, 0.7, -0.9], [0.5, 0.8, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]).double()
    component.record(rows, torch.tensor([0, 0, 1]))
    assert component.frequency.tolist() == [[2, 1, 1, 0], [0, 0, 1, 1]]


def test_all_ordered_differences_of_a_class_are_remembered_in_order():
    component = das(1, 2, channels=1)
    component.remember(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]).double(), torch.zeros(3).long())
    assert component.pushed.tolist() == [4]
    assert component.differences[0, :4].tolist() == [[1, -1], [-1, 1], [-1, 1], [1, -1]]


def test_the_oldest_differences_leave_a_full_bank_first():
    component = das(1, 1, channels=1, bank=4)

    def push(*rows):
        component.remember(torch.tensor(rows).double()[:, None], torch.zeros(len(rows)).long())
        return [row[0] for row in banks(component)[0]]

    assert push(0.0, 1.0) == [-1, 1]  # arrived: -1, 1
    assert push(0.0, 2.0) == [-2, -1, 1, 2]  # -2, 2
    assert push(0.0, 3.0) == [-3, -2, 2, 3]  # -3, 3
    assert push(0.0, 10.0, 30.0) == [-20, 10, 20, 30]  # of six the last four: 10, -20, 30, 20
    assert push(0.0, 7.0) == [-7, 7, 20, 30]  # -7, 7


@few
@seeds
@pytest.mark.parametrize("bank", [1, 3, 10, 40])
def test_recording_and_remembering_equal_a_plain_loop(batch, bank, seed):
    component, expected = das(4, 6, channels=2, bank=bank), reference.Das(4, 6, channels=2, bank=bank)
    for turn in range(3):
        rows, labels = batch(per_class=1 + (seed + turn) % 4, seed=seed + turn)
        rows[-1] = rows[(labels == labels[-1]).nonzero()[0, 0]]  # zero differences are dropped
        component.record(rows, labels)
        component.remember(rows, labels)
        expected.record(rows.tolist(), labels.tolist())
        expected.remember(rows.tolist(), labels.tolist())
        assert component.frequency.tolist() == expected.frequency
        assert banks(component) == [sorted(held) for held in expected.banks]


def test_no_gradient_reaches_what_is_recorded(batch):
    rows, labels = batch(seed=1)
    component = das(4, 6)
    component(rows.requires_grad_(), labels, generator())
    assert not any(buffer.requires_grad for buffer in component.buffers())
    assert list(component.parameters()) == []


# ---- what it makes


def test_a_copy_worked_out_by_hand(monkeypatch):
    component = das(1, 4, copies=1, channels=2, shift=0.1)
    component.differences[0, 0] = torch.tensor([0.4, -0.2, 0.0, 0.2], dtype=torch.float64)
    component.pushed[0] = 1
    # 0.5 and 2, the ends of the range; then the only difference there is.
    draws = iter([torch.tensor([[0.0, 1.0]]), torch.tensor([0.5])])
    monkeypatch.setattr(module.torch, "rand", lambda *shape, generator: next(draws))
    unit = torch.tensor([[0.6, 0.1, 0.7, -0.2]], dtype=torch.float64)
    made = component(unit, torch.tensor([0]), generator())
    # (0.34, 0.08, 1.40, -0.18), of length 1.45409765834348
    expected = [0.233821984410132, 0.055016937508266, 0.962796406394663, -0.123788109393600]
    assert made.rows[0].tolist() == pytest.approx(expected, rel=0, abs=1e-12)
    assert made.source.tolist() == [0]


def test_copies_come_copy_by_copy_after_the_real_rows(batch):
    unit, labels = batch(seed=1)
    made = das(4, 6, copies=3)(unit, labels, generator())
    rows = extended(unit, labels, made)
    assert made.source.tolist() == list(range(12)) * 3
    assert len(rows) == 4 * 12
    assert torch.equal(rows.views["unit"][:12], unit)
    assert torch.equal(rows.columns["labels"], labels.repeat(4))
    assert rows.is_synthetic.tolist() == [False] * 12 + [True] * 36
    assert torch.allclose(made.rows.norm(dim=1), torch.ones(36, dtype=torch.float64), atol=1e-12)


def test_a_scale_of_one_and_no_shift_reproduce_the_rows(batch):
    unit, labels = batch(seed=1)
    made = das(4, 6, copies=2, **IDENTITY)(unit, labels, generator())
    assert torch.allclose(made.rows, unit.repeat(2, 1), rtol=0, atol=1e-15)


def test_no_copies_is_the_plain_loss_bit_for_bit(batch):
    unit, labels = batch(seed=1)
    made = das(4, 6, copies=0)(unit, labels, generator())
    assert made is None
    assert torch.equal(loss_on(extended(unit, labels, made)), loss_on(extended(unit, labels, None)))


@pytest.mark.parametrize(("copies", "expected"), [(0, 0.339371987749083), (1, 0.464263271623947)])
def test_identity_copies_are_positives_of_their_source(four, copies, expected):
    unit, labels = four
    made = das(2, 2, copies=copies, channels=1, **IDENTITY)(unit, labels, generator())
    assert loss_on(extended(unit, labels, made)).item() == pytest.approx(expected, rel=0, abs=1e-12)


@few
@seeds
def test_only_the_favourite_channels_of_the_class_are_scaled_inside_the_range(batch, seed):
    unit, labels = batch(classes=3, per_class=4, dim=7, seed=seed)
    unit[:, -1] = -0.9  # never among the largest: what the others are compared with
    component, expected = das(3, 7, copies=4, channels=3, shift=0.0), reference.Das(3, 7, channels=3, bank=0)
    made = component(unit, labels, generator(seed))
    expected.record(unit.tolist(), labels.tolist())
    favourite = torch.zeros(3, 7, dtype=torch.bool)
    for label in range(3):
        favourite[label, expected.favourite(label)] = True
    favourite = favourite[labels[made.source]]
    found = scales(made, unit)
    assert torch.allclose(found[~favourite], torch.ones(1, dtype=torch.float64), rtol=0, atol=1e-9)
    assert found[favourite].min() >= 0.5 - 1e-9
    assert found[favourite].max() <= 2 + 1e-9
    assert len(found[favourite].unique()) == favourite.sum()  # drawn by row, by copy and by channel


def test_scales_are_uniform(batch):
    unit, labels = batch(classes=2, per_class=4, seed=3)
    unit[:, -1] = -0.9
    component = das(2, 6, copies=500, channels=1, shift=0.0)
    found = scales(component(unit, labels, generator()), unit)
    drawn = found[(found - 1).abs() > 1e-9]
    assert drawn.mean().item() == pytest.approx(1.25, abs=0.03)
    assert drawn.std().item() == pytest.approx(1.5 / 12**0.5, abs=0.02)


def test_of_equal_counts_the_lower_channel_is_scaled():
    component = das(1, 4, copies=1, channels=2, shift=0.0)
    unit = torch.tensor([[0.5, 0.5, 0.5, 0.5]], dtype=torch.float64)
    component.record(
        torch.tensor([[0.1, 0.2, 0.9, 0.8], [0.7, 0.9, 0.2, 0.1]]).double(), torch.tensor([0, 0])
    )
    component.record = lambda rows, labels: None  # leaves 1, 1, 1, 1
    found = scales(component(unit, torch.tensor([0]), generator()), unit)[0].tolist()
    assert found[2:] == pytest.approx([1, 1])
    assert 1 not in (pytest.approx(found[0]), pytest.approx(found[1]))


def test_every_remembered_difference_of_the_own_class_is_added_about_equally_often():
    component = das(2, 3, copies=900, channels=1, scale_low=1.0, scale_high=1.0, shift=0.5, bank=4)
    component.differences[0, :3] = torch.eye(3, dtype=torch.float64)
    component.differences[1] = 7.0
    component.pushed[:] = torch.tensor([3, 4])
    unit = torch.tensor([[0.6, 0.0, 0.8]], dtype=torch.float64)
    made = component(unit, torch.tensor([0]), generator())
    candidates = functional.normalize(unit + 0.5 * torch.eye(3, dtype=torch.float64), dim=1)
    distance = torch.cdist(made.rows, candidates)
    assert distance.amin(dim=1).max() < 1e-6
    assert distance.argmin(dim=1).bincount().tolist() == [pytest.approx(300, rel=0.2)] * 3


def test_the_first_image_of_a_class_has_nothing_to_be_shifted_by(batch):
    unit, _ = batch(classes=3, per_class=1, seed=1)
    component = das(3, 6, copies=2, scale_low=1.0, scale_high=1.0, shift=10.0)
    made = component(unit, torch.arange(3), generator())
    assert component.pushed.tolist() == [0, 0, 0]
    assert torch.allclose(made.rows, unit.repeat(2, 1), rtol=0, atol=1e-15)


def test_differences_of_this_batch_are_used_at_once():
    unit = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    component = das(1, 2, copies=1, channels=1, scale_low=1.0, scale_high=1.0, shift=1.0)
    made = component(unit, torch.tensor([0, 0]), generator())
    assert not torch.allclose(made.rows, unit, atol=1e-3)


# ---- gradients


def test_with_detach_no_gradient_flows_through_the_copies(batch):
    unit, labels = batch(seed=1)
    unit.requires_grad_()
    made = das(4, 6, detach=True)(unit, labels, generator())
    assert not made.rows.requires_grad
    loss_on(extended(unit, labels, made)).backward()
    assert unit.grad.norm() > 0


def test_without_detach_the_gradient_is_the_scale_and_the_normalisation(batch):
    unit, labels = batch(seed=1)
    unit[:, -1] = -0.9
    unit.requires_grad_()
    made = das(4, 6, copies=1, shift=0.0)(unit, labels, generator())
    direction = torch.randn(made.rows.shape, dtype=torch.float64, generator=generator(5))
    (gradient,) = torch.autograd.grad(made.rows, unit, direction)
    s, out = scales(made, unit).detach(), made.rows.detach()
    length = (s * unit.detach()).norm(dim=1, keepdim=True)
    along = (direction * out).sum(dim=1, keepdim=True) * out
    assert torch.allclose(gradient, s * (direction - along) / length, rtol=1e-9, atol=1e-12)


def test_gradients_agree_with_finite_differences(batch):
    unit, labels = batch(seed=2)

    def copies(rows):
        return das(4, 6, copies=2, shift=0.0)(rows, labels, generator()).rows

    assert torch.autograd.gradcheck(copies, unit.requires_grad_())


# ---- randomness and state


def test_the_generator_alone_decides(batch):
    unit, labels = batch(seed=1)
    first, again, other = (das(4, 6)(unit, labels, generator(seed)).rows for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_restored_component_goes_on_as_if_nothing_had_happened(batch):
    whole = das(4, 6, bank=5)
    for step in range(3):
        whole(*batch(seed=step), generator(step))
    restored = das(4, 6, bank=5)
    restored.load_state_dict(whole.state_dict())
    for step in range(3, 6):
        expected = whole(*batch(seed=step), generator(step))
        assert torch.equal(restored(*batch(seed=step), generator(step)).rows, expected.rows)
    assert all(torch.equal(value, restored.state_dict()[name]) for name, value in whole.state_dict().items())
