import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dmlbench.score import ranks
from dmlbench.score.memory import plan_blocks, tile_queries
from dmlbench.score.places import NO_RANK


def collected(
    queries, labels, gallery=None, gallery_labels=None, *, distance="cosine", max_block_mib=None, **options
):
    """(rank lists without padding, relevant, nearest rows) of all blocks."""
    items, item_labels, own = gallery, gallery_labels, None
    if gallery is None:
        items, item_labels, own = queries, labels, torch.arange(len(queries))
    problem = ranks.Problem(queries, items, own, [(labels, item_labels)], **options)
    plan = plan_blocks(
        len(queries),
        len(items),
        queries.shape[1],
        distance=distance,
        dtype=queries.dtype,
        device=queries.device,
        positives=problem.relevances[0].largest,
        max_block_mib=max_block_mib,
    )
    rows, relevant, nearest = [], [], []
    for block in ranks.rank_blocks(problem, plan):
        assert block.rows.start == len(rows)
        (found,) = block.ranked
        rows += [[rank for rank in row if rank != NO_RANK] for row in found.places.ranks.tolist()]
        relevant += found.places.relevant.tolist()
        nearest += [] if block.neighbours is None else block.neighbours.tolist()
    return rows, relevant, nearest


def test_ranks_of_a_hand_made_gallery():
    queries, gallery = torch.tensor([[0.0], [10.0], [5.0]]), torch.tensor([[1.0], [9.0], [2.0], [7.0]])
    rows, relevant, _ = collected(
        queries, torch.tensor([3, 3, 8]), gallery, torch.tensor([3, 5, 5, 3]), distance="euclidean"
    )
    assert rows == [[1, 3], [2, 4], []]
    assert relevant == [2, 2, 0]


def test_self_is_left_out_by_index_even_when_a_copy_is_as_near():
    points = torch.tensor([[0.0], [0.0], [0.0], [4.0]])
    rows, relevant, _ = collected(points, torch.tensor([1, 1, 2, 2]), distance="euclidean")
    place = ranks.permutation(4, 0).argsort().tolist()
    first, second = (1, 2) if place[1] < place[2] else (2, 1)
    assert rows[0] == [first]
    assert rows[3] == [1 + sum(place[other] < place[2] for other in (0, 1))]
    assert relevant == [1, 1, 1, 1]
    assert second + first == 3


def test_class_sizes_may_differ_without_bound(clusters):
    embeddings, _ = clusters(classes=10, per_class=30)
    labels = torch.cat([torch.zeros(250, dtype=torch.int64), torch.arange(1, 26).repeat(2)])
    rows, relevant, _ = collected(embeddings, labels, max_block_mib=1)
    assert relevant == [249] * 250 + [1] * 50
    assert [len(row) for row in rows] == relevant
    assert all(row == sorted(set(row)) and row[0] >= 1 and row[-1] <= 299 for row in rows)


def test_a_tile_depends_on_the_gallery_alone():
    assert [tile_queries(size) for size in (1, 20_000, 60_502, 10**6, 10**8)] == [
        512,
        512,
        512,
        32,
        8,
    ]


def test_the_peak_of_memory_does_not_hold_a_matrix_of_all_pairs():
    """The largest tensor that is made is a block: counted, not timed."""
    largest = 0

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            made = function(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor):
                largest = max(largest, made.numel() * made.element_size())
            return made

    with Counting():
        collected(torch.randn(4000, 4), torch.arange(4000) // 4, max_block_mib=8)
    assert 0 < largest <= 8 << 20 < 4000 * 4000 * 4


def test_neighbours_are_the_nearest_rows_in_order_and_never_the_query():
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    _, _, nearest = collected(points, torch.tensor([1, 1, 2, 2]), distance="euclidean", neighbours=3)
    assert nearest == [[1, 2, 3], [0, 2, 3], [1, 0, 3], [2, 1, 0]]


@pytest.mark.parametrize("k", [1, 3, 19, 20])
def test_neighbours_that_are_tied_come_in_the_order_of_the_columns(k):
    generator = torch.Generator().manual_seed(0)
    block = torch.randint(0, 4, (50, 20), generator=generator).float()
    wanted = [sorted(range(20), key=lambda j: (-row[j], j))[:k] for row in block.tolist()]
    assert ranks.nearest_columns(block, k).tolist() == wanted
