import numpy as np
import pytest
import torch

from dmlbench.errors import DataError
from dmlbench.score import memory, score

CPU = torch.device("cpu")


def plan(gallery=10_000, queries=10_000, dim=64, positives=10, **options):
    return memory.plan_blocks(
        queries,
        gallery,
        dim,
        distance="cosine",
        dtype=torch.float32,
        device=CPU,
        positives=positives,
        **options,
    )


def test_blocks_are_whole_tiles_within_their_budget():
    found = plan(max_block_mib=128)
    assert found.height % found.tile == 0
    assert 64 << 20 < found.block_bytes <= 128 << 20
    assert plan(max_block_mib=1).height == found.tile, "one product at least"


def test_blocks_shrink_with_the_free_memory(monkeypatch):
    heights = []
    for free in (2**34, 2**28, 2**26):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        heights.append(plan(max_block_mib=256).height)
    assert heights == sorted(heights, reverse=True)
    assert heights[0] > heights[-1]


def test_a_gallery_beyond_the_memory_is_refused_before_it_is_copied(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2**20)
    large = np.lib.format.open_memmap(tmp_path / "e.npy", mode="w+", dtype=np.float16, shape=(20_000, 64))
    with pytest.raises(DataError, match=r"a gallery of 20,000 x 64 takes .* 1 MiB are free"):
        score(large, np.arange(20_000) // 4)


def test_the_limit_of_a_control_group_counts(tmp_path):
    files = {"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": "anon 600\ninactive_file 50\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert memory._control_group(tmp_path) == [350]
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._control_group(tmp_path) == []
    assert memory._control_group(tmp_path / "elsewhere") == []


def test_a_plan_reads_as_a_sentence():
    text = str(plan(gallery=60_502, queries=60_502, dim=512))
    assert text.startswith("60,502 queries x 60,502 items of 512 dimensions, cosine in float32: blocks of ")
    assert "gallery 118 MiB" in text
    assert text.endswith("GiB free")


def test_more_than_two_to_the_31_pairs_are_planned_in_whole_numbers():
    assert plan(gallery=10**7, queries=10**7, dim=2).height == 8
