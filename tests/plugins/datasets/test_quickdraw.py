from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dmlbench_plugins.datasets import quickdraw as module
from dmlbench_plugins.datasets.quickdraw import QuickDraw, rendered

from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, read_picture
from dmlbench.data.split import split_items
from dmlbench.protocols import load_task

LINE = [[[0, 255], [0, 0]]]


def record(word: str, key: int, drawing: object = LINE, **more: object) -> str:
    return json.dumps(
        {
            "word": word,
            "countrycode": "NZ",
            "recognized": True,
            "key_id": str(key),
            "drawing": drawing,
            **more,
        }
    )


@pytest.fixture
def root(tmp_path, monkeypatch, written) -> Path:
    """A file a word, of which one is compressed, in the authors' folders."""
    monkeypatch.setattr(module, "WORDS", 2)
    cats = "\n".join(record("cat", n, recognized=n != 2) for n in (3, 1, 2)) + "\n"
    towers = "\n".join(record("The Eiffel Tower", n) for n in (7, 8))
    return written(
        tmp_path / "data",
        {
            "full/simplified/cat.ndjson": cats,
            "full/simplified/The Eiffel Tower.ndjson.gz": gzip.compress(towers.encode()),
        },
    )


def test_a_word_is_a_class_and_its_first_sketches_are_taken(root):
    quickdraw = QuickDraw(per_word=2)
    items = quickdraw.items(root)
    quickdraw.check_counts(items)
    assert [(item.path, item.label, item.part) for item in items] == [
        ("The Eiffel Tower/7", "The Eiffel Tower", ""),
        ("The Eiffel Tower/8", "The Eiffel Tower", ""),
        ("cat/1", "cat", ""),
        ("cat/3", "cat", ""),
    ]
    columns = {item.path: dict(item.columns) for item in QuickDraw().items(root)}
    assert columns["cat/1"] == {"country": "NZ", "recognised": 1}
    assert columns["cat/2"] == {"country": "NZ", "recognised": 0}


def test_one_file_of_all_words_gives_the_same_items(root, tmp_path):
    lines = [(root / "full/simplified/cat.ndjson").read_text()]
    lines.append(gzip.decompress((root / "full/simplified/The Eiffel Tower.ndjson.gz").read_bytes()).decode())
    for name, content in (("all.ndjson", lines), ("all.ndjson.gz", lines)):
        file = tmp_path / name
        data = "".join(content).encode()
        file.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        first, second = QuickDraw(per_word=2), QuickDraw(per_word=2)
        items = first.items(file)
        assert items == second.items(root)
        assert [first.source(item) for item in items] == [second.source(item) for item in items]


def test_the_file_of_a_word_is_read_until_there_are_enough(root):
    file = root / "full" / "simplified" / "cat.ndjson"
    file.write_text("\n".join([*file.read_text().splitlines()[:2], "no drawing"]))
    assert len(QuickDraw(per_word=2).items(root)) == 4
    with pytest.raises(DataError, match=r"line 3 of cat\.ndjson is no drawing"):
        QuickDraw(per_word=3).items(root)


def test_strokes_are_dark_smooth_and_in_the_middle():
    levels = np.asarray(rendered([[[0, 255], [40, 40]]], 28))
    assert np.median(levels) == 255
    ink = 255 - levels.astype(int)
    assert np.array_equal(ink, ink[:, ::-1])
    rows = ink.sum(axis=1)
    assert np.argmax(rows) in (13, 14)
    assert rows.nonzero()[0].max() - rows.nonzero()[0].min() <= 3
    columns = ink.sum(axis=0).nonzero()[0]
    assert (columns.min(), columns.max()) == (0, 27)
    diagonal = np.asarray(rendered([[[0, 255], [0, 255]]], 28))
    assert len(np.unique(diagonal)) > 3  # grey at its edges


def test_a_dot_is_round_and_no_stroke_is_an_error(root):
    levels = np.asarray(rendered([[[100], [100]]], 64))
    assert levels.min() == 0
    ink = (255 - levels.astype(float)).sum() / 255
    assert ink == pytest.approx(np.pi / 4 * (64 * module.PEN / (255 + 2 * module.PEN)) ** 2, rel=0.25)
    (root / "full" / "simplified" / "cat.ndjson").write_text(record("cat", 1, []))
    quickdraw = QuickDraw()
    (item,) = [item for item in quickdraw.items(root) if item.label == "cat"]
    with pytest.raises(UnreadablePicture, match="cat/1 cannot be read: a drawing without a stroke"):
        read_picture(quickdraw, item, 28, 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"line 1 of cat\.ndjson is no drawing"),
        ('{"word": "cat"}', r"line 1 of cat\.ndjson is no drawing: 'drawing'"),
        (record("cat", 1, [[[0.5, 1.5], [0.5, 1.5], [0, 16]]]), r"is not simplified: its strokes have times"),
    ],
)
def test_lines_that_are_no_simplified_drawings_are_named(root, line, message):
    (root / "full" / "simplified" / "cat.ndjson").write_text(line)
    with pytest.raises(DataError, match=message) as caught:
        QuickDraw().items(root)
    assert caught.value.place.endswith("cat.ndjson")


def test_missing_words_and_missing_files_are_named(root, tmp_path):
    (root / "full" / "simplified" / "cat.ndjson").unlink()
    quickdraw = QuickDraw()
    items = quickdraw.items(root)
    with pytest.raises(DataError, match="sketches of 1 words, published are 2"):
        quickdraw.check_counts(items)
    (tmp_path / "empty").mkdir()
    for place, message in ((tmp_path / "empty", "no files .ndjson"), (None, "needs the folder or file")):
        with pytest.raises(DataError, match=message):
            QuickDraw().items(place)


def test_real_sketches_have_all_words_and_are_not_blank(test_data):
    task = load_task("quickdraw")
    quickdraw = QuickDraw(per_word=100)
    items = quickdraw.items(test_data("quickdraw/quickdraw-345-simplified.ndjson.gz"))
    quickdraw.check_counts(items)
    assert len(items) == 9783
    assert (
        len(QuickDraw(per_word=1000).items(test_data("quickdraw/quickdraw-345-simplified.ndjson.gz"))) == 9797
    )
    assert max(Counter(item.label for item in items).values()) == 100
    sides = split_items(items, task.split)
    assert [len({item.label for item in side}) for side in sides.values()] == [138, 35, 172]
    for item in items[::500]:
        ink = np.asarray(quickdraw.picture(item, 28)) < 128
        assert 10 < ink.sum() < 500
