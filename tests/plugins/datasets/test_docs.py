"""docs/datasets.md, held against what is offered."""

from __future__ import annotations

import re
from pathlib import Path

from dmlbench_plugins.datasets import offered

PAGE = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")
OWN = {"folder", "csv", "npz"}


def test_every_data_set_has_one_row():
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE, flags=re.MULTILINE)
    assert sorted(rows) == sorted({plugin.id for plugin in offered()} - OWN)


def test_the_page_gives_the_counts_that_the_readers_demand():
    from dmlbench_plugins.datasets import cars196, cub200_2011, ferplus, in_shop, lfw, sop

    lines = {line.split("`")[1]: line for line in PAGE.splitlines() if line.startswith("| `")}
    for name, module in (
        ("cub200-2011", cub200_2011),
        ("cars196", cars196),
        ("sop", sop),
        ("in-shop", in_shop),
        ("lfw", lfw),
        ("ferplus", ferplus),
    ):
        for classes, pictures in module.PUBLISHED.values():
            assert f"{pictures:,}" in lines[name]
            assert f"{classes:,}" in lines[name]


def test_settings_and_varieties_that_are_named_exist():
    from dmlbench_plugins.datasets.fruits360 import LEFT_OUT, VARIETIES

    for pair in LEFT_OUT.items():
        assert all(f"`{name}`" in PAGE for name in pair)
    assert f"train {VARIETIES['train']} varieties, test {VARIETIES['test']}" in PAGE
