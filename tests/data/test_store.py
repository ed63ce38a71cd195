from __future__ import annotations

import json

import pytest
import torch

from dmlbench.data.prepare import prepare
from dmlbench.data.store import Prepared
from dmlbench.errors import DataError


@pytest.fixture
def store(task, images, folder, tmp_path) -> Prepared:
    return prepare(task, images, folder, folder.root, tmp_path / "home")


def test_an_opened_store_is_the_one_that_was_prepared(store):
    opened = Prepared.open(store.folder)
    assert opened.meta == store.meta
    assert torch.equal(opened.images, store.images)
    assert opened.images.dtype == torch.uint8
    assert opened.train.labels.dtype == opened.train.rows.dtype == torch.int64
    assert set(opened.train.labels.tolist()) == set(range(len(opened.train.classes)))
    opened.verify()


def test_writing_to_the_images_does_not_reach_the_file(store):
    store.images.zero_()
    store.verify()
    assert Prepared.open(store.folder).images.any()


def test_a_store_without_test_labels_opens_but_does_not_tell_them(store):
    (store.folder / "test-labels.json").unlink()
    opened = Prepared.open(store.folder)
    assert len(opened.test_rows) == 9
    with pytest.raises(DataError, match=r"test-labels\.json is not here"):
        opened.test_labels()


def test_a_changed_byte_is_noticed(store):
    with (store.folder / "images.u8").open("r+b") as file:
        file.write(bytes([255 - store.images.flatten()[0].item()]))
    with pytest.raises(DataError, match="has changed since it was prepared"):
        store.verify()


def test_a_truncated_store_is_refused(store):
    with (store.folder / "images.u8").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(DataError, match=r"images\.u8 is not 36 x 16 x 16 x 3 bytes"):
        _ = Prepared.open(store.folder).images


def test_no_store_is_an_error_with_a_way_out(tmp_path):
    with pytest.raises(DataError, match="no prepared data here") as caught:
        Prepared.open(tmp_path)
    assert "dmlbench data prepare" in caught.value.way_out


def test_a_store_from_the_future_is_refused(store):
    (store.folder / "meta.json").write_text(json.dumps(store.meta | {"format": 99}))
    with pytest.raises(DataError, match="format 99, this dmlbench reads 2"):
        Prepared.open(store.folder)
