import math

import pytest
import torch
from dmlbench_plugins.miners.multi_label_triplets import (
    MultiLabelTriplets,
    alikeness,
    best_in_turn,
    diverse_anchors,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.api import UsageError
from dmlbench.testing.counting import LargestTensor

few = settings(max_examples=40, deadline=None, derandomize=True)
seeds = given(seed=st.integers(0, 9_999))

POINTS = torch.tensor([(0, 0), (1, 0), (0, 2), (3, 0), (3, 4), (0, 1)], dtype=torch.float64)
LABELS = torch.tensor([[int(c) for c in y] for y in ("110", "100", "011", "001", "001", "111")]).bool()


def masks(relevance):
    """Who shares a label with whom, itself left out, and who shares none."""
    shares = relevance.double() @ relevance.double().T > 0
    return shares & ~torch.eye(len(relevance), dtype=torch.bool), ~shares


def mine(embeddings, relevance, positives=None, negatives=None, seed=0, **options):
    if positives is None:
        positives, negatives = masks(relevance)
    generator = torch.Generator().manual_seed(seed)
    miner = MultiLabelTriplets(**options)
    return [
        tuple(t) for t in miner(embeddings, relevance, positives, negatives, generator).indices.T.tolist()
    ]


def drawn_first(rows, seed):
    return int(torch.randint(rows, (1,), generator=torch.Generator().manual_seed(seed)))


@pytest.fixture(scope="session")
def crowd():
    """Rows in float64 with one to four of six labels each."""

    def make(rows=12, dim=3, seed=0, labels=6):
        generator = torch.Generator().manual_seed(seed)
        embeddings = torch.randn(rows, dim, generator=generator, dtype=torch.float64)
        relevance = torch.rand(rows, labels, generator=generator) < 0.3
        relevance[torch.arange(rows), torch.randint(labels, (rows,), generator=generator)] = True
        return embeddings, relevance

    return make


# ---- a second time, in plain loops


def plain_jaccard(u, v):
    both, either = sum(map(min, u, v)), sum(map(max, u, v))
    return both / either if either else 0.0


def plain_cosine(u, v):
    return sum(map(min, u, v)) / math.sqrt(sum(u) * sum(v)) if sum(u) and sum(v) else 0.0


def plain_anchors(points, first, count):
    chosen = [first]
    while len(chosen) < count:
        gap = {i: min(math.dist(points[i], points[j]) for j in chosen) for i in range(len(points))}
        chosen.append(max((i for i in gap if i not in chosen), key=lambda i: (gap[i], -i)))
    return chosen


def plain_scores(points, candidates, chosen, relevance, hardness, weights):
    """What each candidate that is left is worth."""
    longest = max(math.dist(u, v) for u in points for v in points)
    l_r, l_h, l_d = weights
    worth = {}
    for i in candidates:
        if i not in chosen:
            gap = min((math.dist(points[i], points[j]) for j in chosen), default=0.0)
            worth[i] = l_r * relevance[i] + l_h * hardness[i] + l_d * gap / longest
    return worth


def plain_triplets(
    points, labels, first, anchors, q_p, q_n, weights=(1, 1, 1), alike=plain_jaccard, fallback=0.25
):
    longest = max(math.dist(u, v) for u in points for v in points)
    found = []
    for a in plain_anchors(points, first, anchors):
        rel = [alike(labels[a], y) for y in labels]
        far = [math.dist(points[a], f) / longest for f in points]
        unlike, near = [1 - value for value in rel], [1 - value for value in far]
        shared = [sum(map(min, labels[a], y)) for y in labels]
        right = [i for i in range(len(points)) if i != a and shared[i]]
        wrong = [i for i in range(len(points)) if i != a and not shared[i]]
        if not wrong:
            wrong = [i for i in right if rel[i] <= fallback]
            right = [i for i in right if i not in wrong]
        p, n = [], []
        for _ in range(q_p):
            worth = plain_scores(points, right, p, rel, far, weights)
            p += [max(worth, key=lambda i: (worth[i], -i))] if worth else []
        for _ in range(q_n):
            worth = plain_scores(points, wrong, n, unlike, near, weights)
            n += [max(worth, key=lambda i: (worth[i], -i))] if worth else []
        found += [(a, i, j) for i in p for j in n]
    return found


# ---- six points of the plane, worked out by hand


def test_labels_are_as_alike_as_what_they_share_of_what_they_have():
    has = LABELS.double()
    expected = torch.tensor([[1, 1 / 2, 1 / 3, 0, 0, 2 / 3]], dtype=torch.float64)
    torch.testing.assert_close(alikeness(has[:1], has, "jaccard"), expected)


def test_cosine_divides_by_the_root_of_both_numbers_of_labels():
    has = LABELS.double()
    expected = [[1, 1 / math.sqrt(2), 1 / 2, 0, 0, 2 / math.sqrt(6)]]
    torch.testing.assert_close(alikeness(has[:1], has, "cosine"), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["jaccard", "cosine"])
def test_a_row_without_labels_is_like_nobody(kind):
    has = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    assert alikeness(has, has, kind).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(("first", "expected"), [(0, [0, 4, 3]), (1, [1, 4, 2, 3])], ids=["from 0", "from 1"])
def test_anchors_are_far_from_each_other(first, expected):
    distance = torch.cdist(POINTS, POINTS)
    assert distance.max() == 5
    assert diverse_anchors(distance, first, len(expected)).tolist() == expected


def test_partners_of_an_anchor_are_the_best_in_turn():
    points, labels = POINTS.tolist(), LABELS.long().tolist()
    rel, far = [plain_jaccard(labels[0], y) for y in labels], [math.dist(points[0], f) / 5 for f in points]
    worth = plain_scores(points, [1, 2, 5], [], rel, far, (1, 1, 1))
    assert worth == pytest.approx({1: 0.7, 2: 0.733333, 5: 0.866667}, abs=1e-6)
    worth = plain_scores(points, [1, 2, 5], [5], rel, far, (1, 1, 1))
    assert worth == pytest.approx({1: 0.982843, 2: 0.933333}, abs=1e-6)
    unlike, near = [1 - value for value in rel], [1 - value for value in far]
    worth = plain_scores(points, [3, 4], [], unlike, near, (1, 1, 1))
    assert worth == pytest.approx({3: 1.4, 4: 1.0})

    seed = next(seed for seed in range(99) if drawn_first(6, seed) == 0)
    options = {"anchor_share": 1 / 6, "positives_per_anchor": 2, "negatives_per_anchor": 1}
    assert mine(POINTS, LABELS, seed=seed, **options) == [(0, 5, 3), (0, 1, 3)]


# ---- against the plain loops


@few
@given(seed=st.integers(0, 9_999), rows=st.integers(8, 12), q=st.integers(1, 4))
@pytest.mark.parametrize("kind", ["jaccard", "cosine"])
def test_it_equals_a_plain_loop(crowd, kind, seed, rows, q):
    embeddings, relevance = crowd(rows=rows, seed=seed)
    found = mine(
        embeddings,
        relevance,
        seed=seed,
        anchor_share=0.5,
        positives_per_anchor=q,
        negatives_per_anchor=3,
        relevance_weight=0.7,
        hardness_weight=1.1,
        diversity_weight=0.4,
        label_similarity=kind,
    )
    assert found == plain_triplets(
        embeddings.tolist(),
        relevance.long().tolist(),
        drawn_first(rows, seed),
        round(rows / 2),
        q,
        3,
        (0.7, 1.1, 0.4),
        {"jaccard": plain_jaccard, "cosine": plain_cosine}[kind],
    )


@few
@given(seed=st.integers(0, 9_999), fallback=st.sampled_from([0.25, 1 / 3, 0.5]))
def test_it_equals_a_plain_loop_where_everybody_shares_a_label(crowd, seed, fallback):
    embeddings, relevance = crowd(seed=seed)
    relevance[:, 0] = True
    options = {"anchor_share": 0.25, "positives_per_anchor": 2, "negatives_per_anchor": 2}
    found = mine(embeddings, relevance, seed=seed, fallback_similarity=fallback, **options)
    labels = relevance.long().tolist()
    first = drawn_first(12, seed)
    assert found == plain_triplets(embeddings.tolist(), labels, first, 3, 2, 2, fallback=fallback)


@few
@seeds
def test_of_equally_good_ones_the_lowest_is_chosen(seed):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(2, (12, 2), generator=generator).double()  # distances 0, 1 and sqrt(2) only
    distance = torch.cdist(corners, corners)
    first = drawn_first(12, seed)
    assert diverse_anchors(distance, first, 6).tolist() == plain_anchors(corners.tolist(), first, 6)
    # One label each and no diversity: many are exactly equally good.
    one_each = torch.eye(3, dtype=torch.bool)[torch.randint(3, (12,), generator=generator)]
    options = {"positives_per_anchor": 2, "negatives_per_anchor": 2, "diversity_weight": 0.0}
    found = mine(corners, one_each, seed=seed, anchor_share=0.5, **options)
    expected = plain_triplets(corners.tolist(), one_each.long().tolist(), first, 6, 2, 2, (1, 1, 0))
    assert found == expected


# ---- special weights


@few
@seeds
def test_without_diversity_the_choice_is_the_top_of_one_ranking(crowd, seed):
    embeddings, relevance = crowd(seed=seed)
    positives, _ = masks(relevance)
    distance = torch.cdist(embeddings, embeddings)
    has = relevance.double()
    score = alikeness(has, has, "jaccard") + distance / distance.max()
    places, chosen = best_in_turn(score, positives, 3, distance, 0.0)
    expected = score.masked_fill(~positives, -torch.inf).topk(3, dim=1)
    assert torch.equal(chosen, expected.values > -torch.inf)
    assert torch.equal(places[chosen], expected.indices[chosen])


@few
@seeds
def test_hardness_alone_gives_the_hardest_triplets(crowd, seed):
    embeddings, relevance = crowd(seed=seed)
    positives, negatives = masks(relevance)
    weights = {"relevance_weight": 0.0, "diversity_weight": 0.0, "fallback_similarity": -1.0}
    found = mine(
        embeddings,
        relevance,
        anchor_share=1.0,
        positives_per_anchor=1,
        negatives_per_anchor=1,
        **weights,
    )
    distance = torch.cdist(embeddings, embeddings)
    farthest = distance.masked_fill(~positives, -torch.inf).argmax(dim=1).tolist()
    nearest = distance.masked_fill(~negatives, torch.inf).argmin(dim=1).tolist()
    both = (positives.any(dim=1) & negatives.any(dim=1)).nonzero()[:, 0].tolist()
    assert both
    assert sorted(found) == [(a, farthest[a], nearest[a]) for a in both]


@few
@seeds
def test_with_one_label_each_it_chooses_by_class(batch, pairs, seed):
    rows, classes = batch(classes=4, per_class=3, seed=seed)
    _, positives, negatives = pairs(rows, classes)
    one_hot = torch.nn.functional.one_hot(classes).bool()
    assert all(map(torch.equal, masks(one_hot), (positives, negatives)))
    found = mine(rows, one_hot, seed=seed, anchor_share=0.5)
    assert found == mine(rows, one_hot, positives, negatives, seed=seed, anchor_share=0.5)
    assert len(found) == 6 * 2 * 5  # two others of the class, five of nine of other classes
    assert all(classes[a] == classes[p] and classes[a] != classes[n] for a, p, n in found)


# ---- what makes no difference


@few
@given(seed=st.integers(0, 9_999), scale=st.sampled_from([1e-3, 0.3, 40.0]))
def test_moving_turning_or_scaling_all_rows_changes_nothing(crowd, seed, scale):
    embeddings, relevance = crowd(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    shift = 5 * torch.randn(3, generator=generator, dtype=torch.float64)
    plain = mine(embeddings, relevance, seed=seed, anchor_share=0.5)
    assert plain
    assert mine(scale * embeddings @ turn + shift, relevance, seed=seed, anchor_share=0.5) == plain


@few
@seeds
def test_the_order_of_the_rows_changes_nothing(crowd, seed):
    embeddings, relevance = crowd(seed=seed)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    plain = mine(embeddings, relevance, anchor_share=1.0)
    shuffled = mine(embeddings[order], relevance[order], anchor_share=1.0)
    assert sorted(tuple(order[list(t)].tolist()) for t in shuffled) == sorted(plain)
    place = order.argsort()
    distance = torch.cdist(embeddings, embeddings)
    anchors = diverse_anchors(distance[order][:, order], int(place[4]), 6)
    assert torch.equal(order[anchors], diverse_anchors(distance, 4, 6))


@few
@seeds
def test_the_first_anchor_is_drawn_and_the_rest_follows(crowd, seed):
    embeddings, _ = crowd(seed=7)
    everybody_has_both = torch.eye(4, dtype=torch.bool).repeat(3, 1)
    found = mine(embeddings, everybody_has_both, seed=seed, anchor_share=0.3)
    expected = plain_anchors(embeddings.tolist(), drawn_first(12, seed), 4)
    assert list(dict.fromkeys(a for a, _, _ in found)) == expected


# ---- odd batches


def test_an_anchor_without_negatives_takes_those_least_like_it():
    # 0 is 1/5 like row 1, exactly 1/4 like row 2 and 1/2 like row 3.
    labels = ["1111000", "1000100", "1000000", "1100000"]
    relevance = torch.tensor([[int(c) for c in y] for y in labels]).bool()
    rows = torch.tensor([[0.0], [1.0], [2.0], [3.0]], dtype=torch.float64)
    assert {t for t in mine(rows, relevance, anchor_share=1.0) if t[0] == 0} == {(0, 3, 1), (0, 3, 2)}
    lower = mine(rows, relevance, anchor_share=1.0, fallback_similarity=0.24)
    assert {t for t in lower if t[0] == 0} == {(0, 2, 1), (0, 3, 1)}
    assert mine(rows, relevance, anchor_share=1.0, fallback_similarity=0.1) == []


def test_an_anchor_with_a_negative_keeps_its_unlike_positives():
    labels = ["1111000", "1000100", "1100000", "0000001"]
    relevance = torch.tensor([[int(c) for c in y] for y in labels]).bool()
    rows = torch.tensor([[0.0], [1.0], [2.0], [3.0]], dtype=torch.float64)
    assert {t for t in mine(rows, relevance, anchor_share=1.0) if t[0] == 0} == {(0, 1, 3), (0, 2, 3)}


def test_rows_that_are_neither_positive_nor_negative_are_left_alone(crowd):
    embeddings, relevance = crowd(seed=3)
    positives, negatives = masks(relevance)
    positives[:, 0] = negatives[:, 1] = False
    found = mine(embeddings, relevance, positives, negatives, anchor_share=1.0, fallback_similarity=0.0)
    assert found
    assert all(p != 0 and n != 1 for _, p, n in found)


@pytest.mark.parametrize("labels", [["10"] * 4, ["1000", "0100", "0010", "0001"], ["1"]])
def test_a_batch_without_both_kinds_of_partners_has_no_triplets(labels):
    relevance = torch.tensor([[int(c) for c in y] for y in labels]).bool()
    rows = torch.arange(len(labels), dtype=torch.float64)[:, None]
    assert mine(rows, relevance, anchor_share=1.0) == []


def test_a_collapsed_batch_is_no_trouble(crowd):
    _, relevance = crowd(seed=2)
    found = mine(torch.ones(12, 3), relevance, anchor_share=1.0)
    assert found
    assert len(found) == len(set(found))


@few
@given(seed=st.integers(0, 9_999), rows=st.integers(1, 40), share=st.sampled_from([0.02, 0.1, 0.4, 1.0]))
def test_triplets_are_few_and_each_is_there_once(crowd, seed, rows, share):
    embeddings, relevance = crowd(rows=rows, seed=seed)
    options = {"positives_per_anchor": 3, "negatives_per_anchor": 2}
    found = mine(embeddings.float(), relevance, seed=seed, anchor_share=share, **options)
    anchors = max(1, round(share * rows))
    assert len(found) == len(set(found)) <= 6 * anchors
    assert len({a for a, _, _ in found}) <= anchors


def test_memory_grows_with_pairs_not_with_triplets(crowd):
    embeddings, relevance = crowd(rows=96, seed=0)
    positives, negatives = masks(relevance)
    with LargestTensor() as largest:
        MultiLabelTriplets()(embeddings, relevance, positives, negatives, torch.Generator())
    assert largest.elements == 96 * 96


@pytest.mark.parametrize(
    "options",
    [{"anchor_share": 0.0}, {"anchor_share": 1.5}, {"positives_per_anchor": 0}, {"negatives_per_anchor": 0}],
)
def test_settings_that_choose_nothing_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        MultiLabelTriplets(**options)
