import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.score.modality_gap import modality_gap


def by_loops(queries, query_labels, gallery, gallery_labels):
    def distance(u, v):
        lengths = math.sqrt(sum(x * x for x in u)) * math.sqrt(sum(x * x for x in v))
        return 1 - sum(x * y for x, y in zip(u, v, strict=True)) / lengths

    def mean(values):
        return sum(values) / len(values)

    acrosses, withins = [], []
    for label in {*query_labels.tolist(), *gallery_labels.tolist()}:
        sides = [queries[query_labels == label].tolist(), gallery[gallery_labels == label].tolist()]
        across = [distance(u, v) for u in sides[0] for v in sides[1]]
        within = [
            mean([distance(u, v) for i, u in enumerate(side) for j, v in enumerate(side) if i != j])
            for side in sides
            if len(side) > 1
        ]
        if across and within:
            acrosses.append(mean(across))
            withins.append(mean(within))
    if not acrosses:
        return {}
    across, within = mean(acrosses), mean(withins)
    return {"distance_across": across, "distance_within": within, "modality_gap": across / within}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 9_999), queries=st.integers(1, 12), gallery=st.integers(1, 12))
def test_it_equals_plain_loops(seed, queries, gallery):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(queries + gallery, 3, generator=generator)
    labels = torch.randint(0, 4, (queries + gallery,), generator=generator)
    given = (rows[:queries], labels[:queries], rows[queries:], labels[queries:])
    assert modality_gap(*given) == pytest.approx(by_loops(*given), abs=1e-6)


def test_a_class_worked_out_by_hand():
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # 1 apart
    gallery = torch.tensor([[-1.0, 0.0]])  # 2 and 1 from them
    label = torch.tensor([7])
    found = modality_gap(queries, label.expand(2), gallery, label)
    assert found == {"distance_across": 1.5, "distance_within": 1.0, "modality_gap": 1.5}


def test_without_a_gap_between_the_domains_it_is_about_one():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(20).repeat_interleave(40)
    rows = torch.randn(20, 16, generator=generator)[labels] + torch.randn(800, 16, generator=generator)
    domain = torch.arange(800) % 2 == 0
    given = [(rows[d], labels[d]) for d in (domain, ~domain)]
    alike = modality_gap(*given[0], *given[1])["modality_gap"]
    assert alike == pytest.approx(1, abs=0.02)
    shifted = modality_gap(*given[0], given[1][0] + 2 * torch.eye(16)[0], given[1][1])["modality_gap"]
    assert shifted > alike + 0.1


def test_what_has_no_pairs_of_both_kinds_has_no_gap():
    rows = torch.eye(4)
    assert modality_gap(rows[:2], torch.tensor([0, 1]), rows[2:], torch.tensor([0, 1])) == {}
    assert modality_gap(rows[:2], torch.tensor([0, 0]), rows[2:], torch.tensor([1, 1])) == {}


def test_a_collapsed_model_has_no_ratio():
    same, label = torch.ones(3, 4), torch.zeros(3, dtype=torch.int64)
    assert modality_gap(same, label, same, label) == {"distance_across": 0.0, "distance_within": 0.0}
