import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.errors import DataError, UsageError
from dmlbench.score import low_shot
from dmlbench.score.low_shot import draw_exemplars, episode_accuracy, imprint, imprinted_accuracy

from . import reference

NAMES = ["accuracy_novel", "accuracy_all", "accuracy_transfer"]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def unit_by_loops(row):
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row]


def template_by_loops(rows):
    rows = [unit_by_loops(row) for row in rows]
    return unit_by_loops([sum(column) / len(rows) for column in zip(*rows, strict=True)])


def nearest_by_loops(query, templates):
    return min(templates, key=lambda name: reference.cosine_distance(query, templates[name]))


def share_right_by_loops(items, templates):
    return sum(nearest_by_loops(row, templates) == label for row, label in items) / len(items)


def imprinted_by_loops(train, train_labels, test, test_labels, novel, shots, draws, seed):
    """[(novel, all, transfer) of each draw]."""
    train, test = train.double().tolist(), test.double().tolist()
    train_labels, novel = train_labels.tolist(), sorted(set(novel.tolist()))
    candidates = [i for i, label in enumerate(train_labels) if label in novel]
    generator, found = seeded(seed), []
    for _ in range(draws):
        rows = draw_exemplars(torch.tensor([train_labels[i] for i in candidates]), shots, generator)
        picked = {
            label: [candidates[j] for j in row] for label, row in zip(novel, rows.tolist(), strict=True)
        }
        for label in set(train_labels) - set(novel):
            picked[label] = [i for i, other in enumerate(train_labels) if other == label]
        templates = {label: template_by_loops([train[i] for i in rows]) for label, rows in picked.items()}
        everything = list(zip(test, test_labels.tolist(), strict=True))
        of_novel = [item for item in everything if item[1] in novel]
        among_novel = {label: templates[label] for label in novel}
        found.append(
            (
                share_right_by_loops(of_novel, templates),
                share_right_by_loops(everything, templates),
                share_right_by_loops(of_novel, among_novel),
            )
        )
    return found


@pytest.fixture
def sides(clusters):
    """Training and test halves of ten classes, of which 1, 4 and 7 are novel."""
    embeddings, labels = clusters(classes=10, per_class=14, dim=5)
    return embeddings[:70], labels[:70], embeddings[70:], labels[70:], torch.tensor([7, 1, 4])


def test_templates_of_known_exemplars():
    """Normalised twice: each exemplar, and their mean."""
    raw = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    assert imprint(raw[None, :2]).tolist() == [pytest.approx([0.894427191, 0.447213595], abs=1e-9)]
    assert imprint(raw[None]).tolist() == [pytest.approx([0.664363839, 0.747409319], abs=1e-9)]
    assert torch.allclose(imprint(raw[None, [2, 0, 1]] * 1e30), imprint(raw[None]), atol=1e-15)
    assert torch.equal(imprint(raw[:, None]), imprint(raw[:, None].expand(3, 4, 2))), "of copies: the same"


def test_exemplars_that_cancel_leave_a_template_that_is_like_nothing():
    assert imprint(torch.tensor([[[1.0, 2.0], [-1.0, -2.0]]])).tolist() == [[0, 0]]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 3), st.integers(0, 99))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_exemplars_are_different_items_of_their_class(labels, shots, seed):
    labels = [label for label in labels if labels.count(label) >= shots]
    if not labels:
        return
    rows = draw_exemplars(torch.tensor(labels) + 2**53, shots, seeded(seed)).tolist()
    assert [[labels[i] for i in row] for row in rows] == [[label] * shots for label in sorted(set(labels))]
    assert all(len(set(row)) == shots for row in rows)


def test_each_item_is_as_likely_an_exemplar_as_any_other():
    labels, generator = torch.tensor([0, 1, 1, 0, 0, 0]), seeded(0)
    drawn = torch.cat([draw_exemplars(labels, 2, generator)[0] for _ in range(2000)])
    counts = torch.bincount(drawn, minlength=6)
    assert counts.tolist() == pytest.approx([1000, 0, 0, 1000, 1000, 1000], abs=90)


@pytest.mark.parametrize("shots", [1, 3])
def test_imprinted_accuracy_equals_the_plain_loops(sides, shots):
    found = imprinted_accuracy(*sides, shots=shots, draws=4, seed=5)
    wanted = imprinted_by_loops(*sides, shots, 4, 5)
    per_draw = list(zip(*(found.per_draw[name].tolist() for name in NAMES), strict=True))
    assert per_draw == [pytest.approx(row, abs=1e-12) for row in wanted]
    assert list(found.metrics) == list(found.per_draw) == list(found.metric_versions) == NAMES
    for name in NAMES:
        assert found.metrics[name] == pytest.approx(float(found.per_draw[name].mean()))
    assert 0 < found.metrics["accuracy_novel"] < found.metrics["accuracy_transfer"] < 1


def test_one_shot_among_the_novel_is_the_nearest_exemplar(sides):
    train, train_labels, test, test_labels, novel = sides
    found = imprinted_accuracy(*sides, shots=1, draws=1)
    candidates = torch.isin(train_labels, novel).nonzero()[:, 0]
    rows = candidates[draw_exemplars(train_labels[candidates], 1, seeded(0))[:, 0]]
    asked = torch.isin(test_labels, novel)
    cosines = torch.nn.functional.cosine_similarity(test[asked][:, None], train[rows], dim=2)
    right = train_labels[rows][cosines.argmax(dim=1)] == test_labels[asked]
    assert found.metrics["accuracy_transfer"] == pytest.approx(float(right.double().mean()))


def test_templates_of_the_base_may_come_from_a_classifier(sides):
    train, train_labels, _, _, novel = sides
    base = [label for label in range(10) if label not in novel.tolist()]
    own = torch.tensor([template_by_loops(train[train_labels == label].tolist()) for label in base])
    plain = imprinted_accuracy(*sides, shots=2)
    assert imprinted_accuracy(*sides, shots=2, base_templates=own * 9).metrics == plain.metrics
    other = imprinted_accuracy(*sides, shots=2, base_templates=-own).metrics
    assert other["accuracy_transfer"] == plain.metrics["accuracy_transfer"]
    assert other["accuracy_all"] < plain.metrics["accuracy_all"]


def test_without_a_base_all_three_are_one(sides):
    train, train_labels, test, test_labels, _ = sides
    found = imprinted_accuracy(train, train_labels, test, test_labels, torch.arange(10), shots=2, draws=3)
    assert len(set(found.metrics.values())) == 1


def test_draws_follow_from_the_seed_and_go_on_where_fewer_end(sides):
    state = torch.get_rng_state()
    long, short = (imprinted_accuracy(*sides, shots=1, draws=draws).per_draw for draws in (6, 3))
    assert all(torch.equal(long[name][:3], short[name]) for name in NAMES)
    other = imprinted_accuracy(*sides, shots=1, draws=6, seed=1).per_draw
    assert not torch.equal(long["accuracy_novel"], other["accuracy_novel"])
    assert torch.equal(torch.get_rng_state(), state)


def test_labels_above_two_to_the_24_and_other_kinds_of_input(sides):
    train, train_labels, test, test_labels, novel = sides
    plain = imprinted_accuracy(*sides, shots=2).metrics
    for base in (2**24, 2**53, -(2**62)):
        labels = (train, train_labels + base, test, test_labels + base, novel + base)
        assert imprinted_accuracy(*labels, shots=2).metrics == plain
    assert imprinted_accuracy(*(values.numpy() for values in sides), shots=2).metrics == plain
    scaled = (train.requires_grad_() * 1024, train_labels, test * 8, test_labels, novel)
    assert imprinted_accuracy(*scaled, shots=2).metrics == plain
    half, wide = ((train.half().to(dtype), test.half().to(dtype)) for dtype in (torch.half, torch.double))
    assert (
        imprinted_accuracy(half[0], train_labels, half[1], test_labels, novel, shots=2).metrics
        == imprinted_accuracy(wide[0], train_labels, wide[1], test_labels, novel, shots=2).metrics
    )


def test_a_collapsed_model_scores_at_chance(sides):
    train, train_labels, test, test_labels, novel = sides
    found = imprinted_accuracy(train * 0, train_labels, test * 0, test_labels, novel, shots=1).metrics
    assert list(found.values()) == pytest.approx([1 / 10, 1 / 10, 1 / 3])
    found = episode_accuracy(train * 0, train_labels, ways=5, queries=3, episodes=20)
    assert found[:2] == pytest.approx((1 / 5, 0))


def test_the_size_of_a_chunk_does_not_matter(sides, monkeypatch):
    options = {"ways": 3, "shots": 2, "queries": 2, "episodes": 30}
    plain = imprinted_accuracy(*sides, shots=2), episode_accuracy(*sides[:2], **options)
    monkeypatch.setattr(low_shot, "_CHUNK_ELEMENTS", 100)
    assert imprinted_accuracy(*sides, shots=2).metrics == plain[0].metrics
    assert torch.equal(episode_accuracy(*sides[:2], **options).per_episode, plain[1].per_episode)


def test_episodes_equal_the_plain_loops(sides):
    embeddings, labels = sides[:2]
    drawn = low_shot._draw_episodes(labels, 3, 5, 40, seed=2)
    assert drawn.shape == (40, 3, 5)
    wanted = []
    for episode in drawn.tolist():
        assert len({row for way in episode for row in way}) == 15
        assert [len(set(labels[way].tolist())) for way in episode] == [1, 1, 1]
        assert len({int(labels[way[0]]) for way in episode}) == 3
        means = {way: template_by_loops(embeddings[rows[:2]].tolist()) for way, rows in enumerate(episode)}
        asked = [(embeddings[row].tolist(), way) for way, rows in enumerate(episode) for row in rows[2:]]
        wanted.append(share_right_by_loops(asked, means))
    found = episode_accuracy(embeddings, labels, ways=3, shots=2, queries=3, episodes=40, seed=2)
    assert found.per_episode.tolist() == pytest.approx(wanted, abs=1e-12)
    mean = sum(wanted) / 40
    deviation = math.sqrt(sum((value - mean) ** 2 for value in wanted) / 39)
    assert found[:2] == pytest.approx((mean, 1.96 * deviation / math.sqrt(40)), abs=1e-12)
    assert 1 / 3 < found.accuracy < 1


def test_episodes_draw_classes_and_items_evenly():
    labels = torch.tensor([0] * 3 + [1] * 6 + [2] * 3 + [3] * 4)
    drawn = low_shot._draw_episodes(labels, 2, 2, 4000, seed=0)
    counts = torch.bincount(drawn[..., 0].flatten(), minlength=16)
    wanted = [2000 / 3] * 3 + [2000 / 6] * 6 + [2000 / 3] * 3 + [2000 / 4] * 4
    assert counts.tolist() == pytest.approx(wanted, abs=90)


def test_every_method_sees_the_same_episodes(sides):
    embeddings, labels = sides[:2]
    options = {"ways": 3, "shots": 2, "queries": 2, "episodes": 30}
    plain = episode_accuracy(embeddings, labels, **options)
    wide = torch.nn.functional.pad(embeddings * 1024, (0, 500))
    for points, ids in ((wide, labels + 2**53), (embeddings.numpy(), labels.numpy() - 2**40)):
        assert episode_accuracy(points, ids, **options).per_episode.tolist() == plain.per_episode.tolist()
    other = episode_accuracy(embeddings, labels, **options, seed=1)
    assert not torch.equal(other.per_episode, plain.per_episode)


ROWS, IDS = torch.eye(6), torch.tensor([8, 8, 9, 9, 9, 7])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shots": 3}, r"class 8 has 2 items; 3 are drawn \(1 of 2 classes are too small\)"),
        ({"novel": torch.tensor([8, 5])}, "class 5 has no training item\n  in   novel"),
        ({"novel": torch.tensor([], dtype=torch.int64)}, "no test item is of a novel class"),
        ({"novel": IDS[5:], "test_labels": IDS[:5], "test": ROWS[:5]}, "no test item is of a novel class"),
        ({"novel": torch.tensor([8.0])}, "whole numbers"),
        ({"test_labels": IDS + 1}, "class 10 has no training item\n  in   test_labels"),
        ({"test_labels": IDS[:5]}, "expected 6 labels"),
        ({"train_labels": ROWS.long()}, r"expected class ids, got shape \(6, 6\)"),
        ({"test": ROWS[:, :5]}, "test has 5 dimensions, train has 6"),
        ({"test": ROWS / 0}, "row 0 is not finite(.|\n)*in   test"),
        ({"base_templates": ROWS[:2]}, "2 templates for 1 base classes"),
        ({"base_templates": ROWS[:1, :5]}, "base_templates has 5 dimensions"),
    ],
)
def test_data_that_cannot_be_imprinted_is_refused(arguments, message):
    usual = {"train": ROWS, "train_labels": IDS, "test": ROWS, "test_labels": IDS, "shots": 2}
    with pytest.raises(DataError, match=message):
        imprinted_accuracy(**{**usual, "novel": torch.tensor([8, 9]), **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ways": 4}, "3 classes; an episode needs 4"),
        ({"shots": 2}, r"class 7 has 1 items; 3 are drawn \(2 of 3 classes"),
        ({"embeddings": ROWS[:5]}, "expected 5 labels"),
        ({"embeddings": ROWS / 0}, "row 0 is not finite"),
    ],
)
def test_data_that_has_no_episodes_is_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        episode_accuracy(**{"embeddings": ROWS, "labels": IDS, "ways": 2, "queries": 1, **arguments})


@pytest.mark.parametrize("wrong", [{"shots": 0}, {"queries": 0}, {"ways": 1}, {"episodes": 1}])
def test_wrong_usage_is_refused(wrong):
    with pytest.raises(UsageError, match="is the least"):
        episode_accuracy(ROWS, IDS, **wrong)
    with pytest.raises(UsageError, match="draws=0: 1 is the least"):
        imprinted_accuracy(ROWS, IDS, ROWS, IDS, IDS, shots=1, draws=0)


def test_examples_in_docstrings_are_true():
    failed, tried = doctest.testmod(low_shot, extraglobs={"torch": torch})
    assert failed == 0
    assert tried > 0
