"""Items classified among base classes and novel ones, against loops, scikit-learn and the card's figures."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from dmlbench.errors import DataError
from dmlbench.score.low_shot import imprinted_accuracy
from dmlbench.score.shots import Judge, class_rows, random_rows


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(one, other):
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(sum(a * a for a in one)) / math.sqrt(sum(b * b for b in other))


def share(item, candidates, own):
    """1/m where the own class is one of the m nearest; `candidates` holds vectors by class."""
    best = {c: max(cosine(item, vector) for vector in vectors) for c, vectors in candidates.items()}
    top = max(best.values())
    nearest = [c for c, value in best.items() if abs(value - top) < 1e-12]
    return (own in nearest) / len(nearest)


def template(vectors):
    units = [[x / math.sqrt(sum(y * y for y in v)) for x in v] for v in vectors]
    return [sum(column) / len(units) for column in zip(*units, strict=True)]


BASE, NOVEL, SHOTS, DIM = 4, 3, 5, 6


@pytest.fixture
def case():
    own = torch.arange(BASE + NOVEL).repeat(6)
    labels = torch.arange(BASE).repeat(4)
    return {
        "rows": rows(BASE, DIM, seed=1),
        "items": rows(len(own), DIM, seed=2),
        "own": own,
        "images": rows(len(labels), DIM, seed=3),
        "labels": labels,
        "shown": rows(NOVEL, SHOTS, DIM, seed=4),
    }


def judge(case):
    return Judge(case["rows"], case["items"], case["own"], (case["images"], case["labels"]))


def expected(case, base, novel):
    everything = base | {BASE + c: vectors for c, vectors in novel.items()}
    of_novel = {BASE + c: vectors for c, vectors in novel.items()}
    pairs = list(zip(case["items"].tolist(), case["own"].tolist(), strict=True))
    return [share(x, everything, c) for x, c in pairs], [share(x, of_novel, c) for x, c in pairs]


def assert_same(answer, wanted, novel):
    for found, values in zip(answer, wanted, strict=True):
        assert found.tolist() == pytest.approx(values)
    assert bool(novel.any())


def test_imprinted_rows_agree_with_loops(case):
    found = judge(case)
    answers = found.by_imprinting(case["shown"][:, :, None], [1, 2, 5])
    base = {c: [row] for c, row in enumerate(case["rows"].tolist())}
    for n, answer in answers.items():
        novel = {c: [template(images[:n])] for c, images in enumerate(case["shown"].tolist())}
        assert_same(answer, expected(case, base, novel), found.novel)


def test_nearest_images_agree_with_loops_and_scikit_learn(case):
    found = judge(case)
    answers = found.by_nearest(case["shown"], [1, 3, 5])
    base = {c: case["images"][case["labels"] == c].tolist() for c in range(BASE)}
    for n, answer in answers.items():
        novel = {c: images[:n] for c, images in enumerate(case["shown"].tolist())}
        assert_same(answer, expected(case, base, novel), found.novel)
        images = torch.cat([case["images"], case["shown"][:, :n].flatten(0, 1)])
        labels = torch.cat([case["labels"], torch.arange(BASE, BASE + NOVEL).repeat_interleave(n)])
        peer = KNeighborsClassifier(1, metric="cosine").fit(images.numpy(), labels.numpy())
        right = peer.predict(case["items"].numpy()) == case["own"].numpy()
        assert answer[0].numpy() == pytest.approx(right.astype(float))


def test_a_row_for_each_novel_class_agrees_with_loops(case):
    new = random_rows(NOVEL, DIM, torch.Generator().manual_seed(0))
    assert torch.linalg.vector_norm(new, dim=1).tolist() == pytest.approx([1.0] * NOVEL)
    base = {c: [row] for c, row in enumerate(case["rows"].tolist())}
    wanted = expected(case, base, {c: [row] for c, row in enumerate(new.tolist())})
    assert_same(judge(case).by_rows(new), wanted, judge(case).novel)


def test_groups_are_novel_items_and_all_items(case):
    found = judge(case)
    among_all, among_novel = found.by_rows(case["shown"][:, 0])
    groups = found.grouped((among_all, among_novel))
    novel = case["own"] >= BASE
    assert torch.equal(groups["novel"], among_all[novel])
    assert torch.equal(groups["all"], among_all)
    assert torch.equal(groups["transfer"], among_novel[novel])
    alone = Judge(case["rows"], case["items"][novel], case["own"][novel])
    assert alone.grouped(alone.by_rows(case["shown"][:, 0])).keys() == {"novel", "transfer"}


def test_views_of_an_image_are_averaged_as_images_are(case):
    views = rows(NOVEL, SHOTS, 2, DIM, seed=7)
    base = {c: [row] for c, row in enumerate(case["rows"].tolist())}
    for n, answer in judge(case).by_imprinting(views, [1, 3]).items():
        novel = {c: [template(own[:n].flatten(0, 1).tolist())] for c, own in enumerate(views)}
        assert_same(answer, expected(case, base, novel), judge(case).novel)


@pytest.mark.parametrize(("base", "right"), [(54.0, 1.0), (53.7, 0.0)])
def test_a_template_is_the_mean_of_unit_embeddings(base, right):
    """(3, 4) and (1, 0) give one at 26.565 degrees, 13.635 from the item; raw ones would at 45 degrees."""
    shown = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]], dtype=torch.float64)
    found = Judge(at_angle(base), at_angle(40.2), torch.tensor([1]))
    assert found.by_imprinting(shown[:, :, None], [2])[2][0].tolist() == [right]


def at_angle(degrees):
    angle = math.radians(degrees)
    return torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)


def test_a_query_of_the_worked_example_goes_to_the_imprinted_class():
    """Cosines 0.447, -0.894 and 0.8 (card of the method)."""
    base = torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    shown = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]], dtype=torch.float64)
    query = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    found = Judge(base, query, torch.tensor([2]))
    assert found.by_imprinting(shown[:, :, None], [2])[2][0].tolist() == [1.0]


def test_with_one_image_imprinting_is_the_nearest_neighbour_among_novel_classes(case):
    found = judge(case)
    imprinted = found.by_imprinting(case["shown"][:, :, None], [1])[1]
    nearest = found.by_nearest(case["shown"], [1])[1]
    assert torch.equal(imprinted[1], nearest[1])
    assert not torch.equal(imprinted[0], nearest[0])  # base classes have an image or a row


@given(st.floats(0.01, 100), st.integers(0, 99))
@settings(max_examples=20)
def test_the_length_of_an_embedding_and_the_order_of_images_change_nothing(factor, seed):
    shown, items = rows(NOVEL, 3, DIM, seed=seed), rows(20, DIM, seed=seed + 1)
    own, base = torch.arange(20) % (BASE + NOVEL), rows(BASE, DIM, seed=seed + 2)
    plain = Judge(base, items, own).by_imprinting(shown[:, :, None], [3])[3]
    longer = shown.clone()
    longer[:, 1] *= factor
    other = Judge(base, items * factor, own).by_imprinting(longer.flip(1)[:, :, None], [3])[3]
    assert torch.equal(plain[0], other[0])


def test_images_that_are_the_same_give_the_row_of_one(case):
    same = case["shown"][:, :1].expand(-1, 4, -1)
    answers = judge(case).by_imprinting(same[:, :, None], [1, 4])
    assert torch.equal(answers[1][0], answers[4][0])


def test_opposite_images_leave_a_row_of_nothing_and_no_nan():
    shown = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]], dtype=torch.float64)
    base = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    items = torch.tensor([[0.0, -1.0], [0.6, 0.8]], dtype=torch.float64)
    among_all, among_novel = Judge(base, items, torch.tensor([1, 1])).by_imprinting(shown[:, :, None], [2])[2]
    assert among_all.tolist() == [1.0, 0.0]  # its cosine is 0, that of the base row -1 and 0.8
    assert among_novel.tolist() == [1.0, 1.0]


def test_a_collapsed_network_scores_chance():
    """All embeddings are equal: no class may win by the last bit of a product."""
    point = rows(1, DIM, seed=5)
    items, images, shown = point.expand(70, -1), point.expand(40, -1), point.expand(NOVEL * 5, -1)
    own, labels = torch.arange(70) % (BASE + NOVEL), torch.arange(40) % BASE
    found = Judge(class_rows(images, labels), items, own, (images, labels))
    for n in (1, 3, 5):
        by_row = found.by_imprinting(shown.reshape(NOVEL, 5, 1, DIM), [n])[n]
        by_image = found.by_nearest(shown.reshape(NOVEL, 5, DIM), [n])[n]
        for among_all, among_novel in (by_row, by_image):
            assert among_all.tolist() == pytest.approx([1 / (BASE + NOVEL)] * 70)
            assert among_novel[found.novel].tolist() == pytest.approx([1 / NOVEL] * int(found.novel.sum()))


def test_it_agrees_with_the_metric_for_embeddings_of_ones_own(case):
    """Where a novel class has exactly as many images as are drawn, no draw is left to differ."""
    shots, labels = case["shown"].flatten(0, 1), torch.arange(BASE, BASE + NOVEL).repeat_interleave(SHOTS)
    wanted = imprinted_accuracy(
        torch.cat([case["images"], shots]),
        torch.cat([case["labels"], labels]),
        case["items"],
        case["own"],
        torch.arange(BASE, BASE + NOVEL),
        shots=SHOTS,
        draws=2,
    ).metrics
    found = Judge(class_rows(case["images"], case["labels"]), case["items"], case["own"])
    answer = found.by_imprinting(case["shown"][:, :, None], [SHOTS])[SHOTS]
    groups = {f"accuracy_{name}": float(values.mean()) for name, values in found.grouped(answer).items()}
    assert groups == pytest.approx(wanted)


def test_class_rows_are_means_of_unit_embeddings(case):
    found = class_rows(case["images"] * 7, case["labels"])
    for label in range(BASE):
        mean = np.array(template(case["images"][case["labels"] == label].tolist()))
        assert found[label].tolist() == pytest.approx((mean / np.linalg.norm(mean)).tolist())


def test_embeddings_of_another_width_and_broken_ones_are_refused(case):
    with pytest.raises(DataError, match="novel rows have 3 dimensions, items 6"):
        judge(case).by_rows(rows(NOVEL, 3))
    case["shown"][0, 0, 0] = torch.nan
    with pytest.raises(DataError, match="not finite"):
        judge(case).by_nearest(case["shown"], [1])
