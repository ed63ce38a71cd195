import shutil
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.score import counting, score, sorting
from dmlbench.score.places import NO_RANK
from dmlbench.score.positives import Columns


def blocks(seed, rows=7, items=90, positives=11, grid=None, dtype=torch.float32):
    """Similarities, some of them tied, and columns of positives with holes."""
    generator = torch.Generator().manual_seed(seed)
    if grid:
        block = torch.randint(-grid, grid + 1, (rows, items), generator=generator).to(dtype) * 0.5
        block[block == 0] *= -1  # zeros and minus zeros are tied
    else:
        block = torch.randn(rows, items, generator=generator).to(dtype)
    columns = torch.stack([torch.randperm(items, generator=generator)[:positives] for _ in range(rows)])
    valid = torch.rand(rows, positives, generator=generator) < 0.8
    own = torch.randint(0, items, (rows, 1), generator=generator)
    block.scatter_(1, own, -torch.inf)
    return block, Columns(columns, valid & (columns != own))


def ranks_by_loops(block, positives):
    ranks = torch.full_like(positives.columns, NO_RANK)
    for i, row in enumerate(block.tolist()):
        order = sorted(range(len(row)), key=lambda j: (-row[j], j))
        for j, column in enumerate(positives.columns[i].tolist()):
            if positives.valid[i, j]:
                ranks[i, j] = 1 + order.index(column)
    return ranks


cases = st.tuples(
    st.integers(0, 2**32), st.sampled_from([None, 1, 3]), st.sampled_from([torch.float32, torch.float64])
)


@given(cases)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_counting_and_sorting_give_the_ranks_of_a_plain_loop(case):
    seed, grid, dtype = case
    block, positives = blocks(seed, grid=grid, dtype=dtype)
    wanted = ranks_by_loops(block, positives)
    assert torch.equal(counting.count_ranks(block, positives), wanted)
    assert torch.equal(sorting.sort_ranks(block, positives), wanted)


@given(cases)
@settings(deadline=None, derandomize=True, max_examples=40)
def test_counting_and_sorting_agree_on_ties(case):
    seed, grid, dtype = case
    block, positives = blocks(seed, grid=grid, dtype=dtype)
    for found in (counting.count_ties(block, positives), sorting.sort_ties(block, positives)):
        above, tied = found
        for i in range(len(block)):
            for j, column in enumerate(positives.columns[i].tolist()):
                if not positives.valid[i, j]:
                    assert (above[i, j], tied[i, j]) == (NO_RANK, 1)
                    continue
                assert above[i, j] == sum(x > block[i, column] for x in block[i])
                assert tied[i, j] == sum(x == block[i, column] for x in block[i])


def test_rows_longer_than_a_chunk_are_counted_whole():
    block, positives = blocks(0, rows=3, items=5000, positives=40, grid=3)
    assert torch.equal(counting.count_ranks(block, positives), sorting.sort_ranks(block, positives))
    for found, wanted in zip(
        counting.count_ties(block, positives), sorting.sort_ties(block, positives), strict=True
    ):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_counts_and_sorts_alike(threads):
    block, positives = blocks(1)
    wanted = ranks_by_loops(block, positives)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(counting.count_ranks(block, positives), wanted)
        assert torch.equal(sorting.sort_ranks(block, positives), wanted)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("grid", [None, 2])
def test_what_is_compiled_for_gpus_counts_the_same(grid):
    block, positives = blocks(2, grid=grid)
    values = block.gather(1, positives.columns)
    before = counting.ranks_by_comparison(block, values, positives.columns)
    assert torch.equal((before + 1)[positives.valid], counting.count_ranks(block, positives)[positives.valid])
    above, not_below = counting.ties_by_comparison(block, values)
    wanted = counting.count_ties(block, positives)
    assert torch.equal(above[positives.valid], wanted[0][positives.valid])
    assert torch.equal((not_below - above)[positives.valid], wanted[1][positives.valid])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
@pytest.mark.filterwarnings("ignore")  # torch.compile warns of its own imports
def test_torch_compile_keeps_the_count():
    block, positives = blocks(3, grid=2)
    values = block.gather(1, positives.columns)
    fused = counting._fused(counting.ranks_by_comparison)(block, values, positives.columns)
    assert torch.equal(fused, counting.ranks_by_comparison(block, values, positives.columns))


def test_counting_pays_for_large_jobs_with_few_positives():
    cpu = torch.device("cpu")
    assert counting.counting_pays(cpu, 10**9, positives=14.0)
    assert not counting.counting_pays(cpu, 10**9, positives=5000.0)
    assert not counting.counting_pays(cpu, 10**6, positives=14.0)


def test_scores_do_not_depend_on_how_ranks_are_found(clusters, monkeypatch):
    embeddings, labels = clusters(classes=30, per_class=10)
    embeddings[::7] = embeddings[0]
    for ties in ("permuted", "expected", "pessimistic"):
        found = []
        for pays in (True, False):
            monkeypatch.setattr("dmlbench.score.ranks.counting_pays", lambda *_, pays=pays: pays)
            found.append(score(embeddings, labels, metrics=["map", "recall_at_1", "mrr"], ties=ties))
        assert found[0].metrics == found[1].metrics
        assert torch.equal(found[0].per_query["map"], found[1].per_query["map"])


@pytest.mark.parametrize("state", ["missing", "interpreting"])
def test_a_numba_that_cannot_compile_is_done_without(monkeypatch, state):
    counting.has_numba.cache_clear()
    if state == "interpreting":
        monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    else:
        monkeypatch.setitem(sys.modules, "numba", None)
    try:
        assert not counting.has_numba()
    finally:
        counting.has_numba.cache_clear()


def test_without_numba_rows_are_sorted(clusters, monkeypatch):
    monkeypatch.setattr(counting, "has_numba", lambda: False)
    assert not counting.counting_pays(torch.device("cpu"), 10**9, positives=14.0)
    assert counting.counting_pays(torch.device("cuda"), 10**9, positives=14.0)
