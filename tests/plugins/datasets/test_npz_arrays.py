from __future__ import annotations

import numpy as np
import pytest
from dmlbench_plugins.datasets.npz_arrays import NpzArrays

from dmlbench.api import DataError
from dmlbench.data.pictures import read_picture

IMAGES = np.random.default_rng(0).integers(0, 255, (12, 10, 10, 3), dtype=np.uint8)
LABELS = np.arange(12) // 2


@pytest.fixture
def saved(tmp_path):
    def save(**arrays: object):
        np.savez_compressed(tmp_path / "a.npz", **arrays)
        reader = NpzArrays()
        return reader, reader.items(tmp_path / "a.npz")

    return save


def test_an_image_is_an_item(saved, tmp_path):
    reader, found = saved(images=IMAGES, labels=LABELS)
    assert [(item.path, item.label) for item in found[:3]] == [("00", "0"), ("01", "0"), ("02", "1")]
    assert {item.part for item in found} == {""}
    assert found[11].place == f"{tmp_path / 'a.npz'}, image 11"
    assert reader.picture(found[5], 10).tobytes() == IMAGES[5].tobytes()
    assert reader.side(found[5]) == 10
    sources = {reader.source(item) for item in found}
    assert len(sources) == 12


@pytest.mark.parametrize("shape", [(12, 10, 10), (12, 10, 10, 1)], ids=str)
def test_grey_images_have_one_channel_or_no_axis_for_it(saved, shape):
    grey = IMAGES[..., 0].reshape(shape)
    reader, found = saved(images=grey, labels=LABELS)
    picture = reader.picture(found[3], 10)
    assert (picture.mode, picture.tobytes()) == ("L", grey[3].tobytes())


@pytest.mark.parametrize("bands", [2, 4, 12])
def test_other_numbers_of_channels_are_bands(saved, bands):
    images = np.random.default_rng(1).integers(0, 255, (12, 10, 14, bands), dtype=np.uint8)
    reader, found = saved(images=images, labels=LABELS)
    picture = reader.picture(found[7], 10)
    assert (picture.dtype, picture.shape) == (np.uint8, (10, 10, bands))
    assert (picture == images[7, :, 2:12]).all()
    assert read_picture(reader, found[7], 10, bands)[1] == picture.tobytes()
    with pytest.raises(DataError, match=f"{bands} bands"):
        read_picture(reader, found[7], 10, 3)


def test_names_and_sides_are_taken_as_given(saved):
    sides = np.array(["train", "Test", "val"] * 4)
    _, found = saved(images=IMAGES, labels=np.array([f"class {n}" for n in LABELS]), split=sides)
    assert [item.part for item in found[:3]] == ["train", "test", "validation"]
    assert found[-1].label == "class 5"


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"images": IMAGES}, "no array `labels`"),
        ({"labels": LABELS}, "no array `images`"),
        ({"images": IMAGES.astype(float), "labels": LABELS}, r"`images` is float64 .*, not uint8"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, r"`images` is uint8 \[0, 10, 10, 3\]"),
        ({"images": IMAGES, "labels": LABELS[:-1]}, r"`labels` is int64 \[11\], not 12"),
        ({"images": IMAGES, "labels": LABELS / 2}, "`labels` is float64"),
        ({"images": IMAGES, "labels": LABELS, "split": np.array(["train"] * 11)}, r"`split` is <U5 \[11\]"),
        ({"images": IMAGES, "labels": LABELS, "split": np.array(["train"] * 11 + ["tset"])}, "split 'tset'"),
        ({"images": IMAGES, "labels": LABELS, "splits": np.array(["train"] * 12)}, "'splits' is nothing"),
    ],
)  # fmt: skip
def test_arrays_that_are_not_what_they_have_to_be_are_named(saved, arrays, said, tmp_path):
    with pytest.raises(DataError, match=said) as caught:
        saved(**arrays)
    assert caught.value.place.startswith(str(tmp_path / "a.npz"))


def test_pickled_objects_are_never_opened(saved):
    with pytest.raises(DataError, match=r"not an \.npz file of plain arrays"):
        saved(images=IMAGES, labels=np.array([{"a": 1}] * 12))


@pytest.mark.parametrize("content", [b"", b"text", "cut", "npy"])
def test_other_files_are_named(tmp_path, content):
    file = tmp_path / "b.npz"
    if content == "npy":
        with file.open("wb") as out:
            np.save(out, IMAGES)
    elif content == "cut":
        np.savez(file, images=IMAGES, labels=LABELS)
        file.write_bytes(file.read_bytes()[:2000])
    else:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"not an \.npz file of plain arrays") as caught:
        NpzArrays().items(file)
    assert caught.value.place == str(file)
