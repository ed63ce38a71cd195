"""Items with several labels: numbered once over all sides, and nothing moves where there are none."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from dmlbench.data.build import manifest
from dmlbench.data.items import Item
from dmlbench.data.pictures import fingerprint
from dmlbench.data.prepare import prepare
from dmlbench.data.store import Prepared
from dmlbench.errors import ContractError
from dmlbench.spec.model import digest


class Labelled:
    """A folder of pictures, each with the labels that `labels_of` gives it."""

    def __init__(self, folder, labels_of):
        self._folder, self._labels_of = folder, labels_of
        self.needs_root, self.downloads = folder.needs_root, ()
        self.versions, self.source, self.picture = folder.versions, folder.source, folder.picture

    def items(self, root):
        found = self._folder.items(root)
        return [dataclasses.replace(item, labels=self._labels_of(item)) for item in found]


def initial_and_hand(item):
    return (f"hand {item.columns['domain']}", f"initial {item.label[0]}")


@pytest.fixture
def make(task, images, folder, tmp_path):
    def store(labels_of):
        return prepare(task, images, Labelled(folder, labels_of), folder.root, tmp_path / "home")

    return store


def names_of(row, names):
    return {name for name, has in zip(names, row.tolist(), strict=True) if has}


def test_every_side_has_the_labels_of_its_items_under_common_numbers(make):
    data = Prepared.open(make(initial_and_hand).folder)
    test = data.test_labels()
    names = data.train.label_names
    assert names == data.validation.label_names == tuple(sorted(names))
    for part in (data.train, data.validation, test):
        assert part.relevance.dtype == torch.bool
        assert part.relevance.shape == (len(part.labels), len(names))
        for path, label, row in zip(part.paths, part.labels.tolist(), part.relevance, strict=True):
            hand = path.split("/")[1].removesuffix(".png")
            assert names_of(row, names) == {f"hand {hand}", f"initial {part.classes[label][0]}"}
    initials = {f"initial {name[0]}" for part in (data.train, data.validation, test) for name in part.classes}
    assert {name for name in names if name.startswith("initial")} == initials


def test_a_label_that_only_test_items_have_keeps_its_column_everywhere(make, task):
    only_test = set(make(initial_and_hand).test_labels().classes)
    data = make(lambda item: ("all",) + (("hidden",) if item.label in only_test else ()))
    assert data.train.label_names == ("all", "hidden")
    assert data.train.relevance[:, 1].sum() == data.validation.relevance[:, 1].sum() == 0
    assert data.test_labels().relevance.all()


def test_a_part_written_anew_has_its_labels(make):
    data = make(initial_and_hand)
    told = json.loads(json.dumps(data.train.to_json()))
    assert told == json.loads((data.folder / "train.json").read_text())


@pytest.mark.parametrize(
    "labels_of",
    [
        lambda item: ("a",) if item.columns["domain"] == "noto" else (),
        lambda item: () if item.columns["domain"] == "noto" else ("a",),
        lambda item: ("a", "a"),
    ],
    ids=["some have none", "the first has none", "one twice"],
)
def test_items_have_labels_all_or_none_and_each_once(make, labels_of):
    with pytest.raises(ContractError, match="has the labels"):
        make(labels_of)


def test_other_labels_are_other_data(make):
    one, other = make(initial_and_hand), make(lambda item: ("a",))
    assert one.folder != other.folder
    assert one.fingerprint != other.fingerprint
    assert one.meta["pixels"] == other.meta["pixels"]


def test_items_without_labels_are_known_and_stored_as_before(task, images, folder, tmp_path):
    """Stores, fingerprints and the names of folders that were made before labels came stay what they are."""
    item = Item("a/b", "a", "g", columns={"domain": "x"}, superclass="s")
    assert manifest([item]) == digest([["a/b", "a", "g", "", {"domain": "x"}, "s"]])
    assert fingerprint([(item, "00")]) == (
        "sha256:f0a2fc2034a6ec80b571221ba8a4c6ffb2b867f6e51326cac82451c51ca174dd"
    )
    data = prepare(task, images, folder, folder.root, tmp_path / "home")
    assert json.loads((data.folder / "train.json").read_text()).keys() == {
        "rows", "labels", "classes", "columns", "paths",
    }  # fmt: skip
    assert data.train.relevance is data.test_labels().relevance is None
    assert data.train.label_names == ()
