import pytest
import torch

from dmlbench.score import NO_RANK, ranks
from dmlbench.score.positives import ClassColumns


def collected(*arguments, **options):
    """(rank lists without padding, relevant) of all blocks."""
    rows, relevant = [], []
    for block in ranks.rank_blocks(*arguments, **options):
        assert block.start == len(rows)
        rows += [[rank for rank in row if rank != NO_RANK] for row in block.ranks.tolist()]
        relevant += block.relevant.tolist()
    return rows, relevant


def test_ranks_of_a_hand_made_gallery():
    queries, gallery = torch.tensor([[0.0], [10.0], [5.0]]), torch.tensor([[1.0], [9.0], [2.0], [7.0]])
    rows, relevant = collected(
        queries, torch.tensor([3, 3, 8]), gallery, torch.tensor([3, 5, 5, 3]), distance="euclidean"
    )
    assert rows == [[1, 3], [2, 4], []]
    assert relevant == [2, 2, 0]


def test_self_is_left_out_by_index_even_when_a_copy_is_as_near():
    points = torch.tensor([[0.0], [0.0], [0.0], [4.0]])
    rows, relevant = collected(points, torch.tensor([1, 1, 2, 2]), distance="euclidean")
    place = ranks.permutation(4, 0).argsort().tolist()
    first, second = (1, 2) if place[1] < place[2] else (2, 1)
    assert rows[0] == [first]
    assert rows[3] == [1 + sum(place[other] < place[2] for other in (0, 1))]
    assert relevant == [1, 1, 1, 1]
    assert second + first == 3


def test_class_sizes_may_differ_without_bound(clusters):
    embeddings, _ = clusters(classes=10, per_class=30)
    labels = torch.cat([torch.zeros(250, dtype=torch.int64), torch.arange(1, 26).repeat(2)])
    rows, relevant = collected(embeddings, labels, max_block_mib=1)
    assert relevant == [249] * 250 + [1] * 50
    assert [len(row) for row in rows] == relevant
    assert all(row == sorted(set(row)) and row[0] >= 1 and row[-1] <= 299 for row in rows)


def test_a_tile_depends_on_the_gallery_alone():
    assert [ranks._tile_queries(size) for size in (1, 20_000, 60_502, 10**6)] == [128, 128, 64, 8]


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_are_sorted_with_any_number_of_threads(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        values = torch.randn(7, 100)
        assert torch.equal(ranks._sort_rows(values.clone()), values.sort(dim=1).values)
    finally:
        torch.set_num_threads(before)


def test_zero_and_minus_zero_are_tied():
    block = torch.tensor([[-0.0, 0.0, -0.0]])
    grouped = ClassColumns.of(torch.tensor([1, 2, 2]))
    found = ranks._ranks(block, grouped.positives(torch.tensor([2])), torch.empty_like(block), 1)
    assert found.tolist() == [[2, 3]]


def test_the_peak_of_memory_does_not_hold_a_matrix_of_all_pairs(monkeypatch):
    """The largest tensor that is made is a block: counted, not timed."""
    largest = 0
    empty = torch.empty

    def counting(*sizes, **options):
        nonlocal largest
        made = empty(*sizes, **options)
        largest = max(largest, made.numel() * made.element_size())
        return made

    monkeypatch.setattr(torch, "empty", counting)
    points, labels = torch.randn(4000, 4), torch.arange(4000) // 4
    for _ in ranks.rank_blocks(points, labels, max_block_mib=8):
        pass
    assert 0 < largest <= 8 << 20 < 4000 * 4000 * 4
