"""Whole pictures against Pillow, a plain loop over single pictures, and torchvision's rules by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from dmlbench.data.augment import to_input, to_training_input
from dmlbench.data.crop import random_boxes, resized_crops
from dmlbench.data.prepare import prepare
from dmlbench.data.verify import verify
from dmlbench.data.whole import WholePictures
from dmlbench.errors import ContractError, DataError
from dmlbench.spec.track import Crop

SIDE = 20
SHAPES = [(20, 20), (20, 33), (47, 20), (21, 20), (20, 64)]
"""Heights and widths; the shorter side is that of the store."""
RESIZED = Crop(
    stored=SIDE, keep="whole", kind="random-resized", area=["0.08", "1"], ratio=["0.75", "1.3333333333"]
)
ANYWHERE = Crop(stored=SIDE, keep="whole", kind="random")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaped(picture: Image.Image, number: int) -> Image.Image:
    height, width = SHAPES[number % len(SHAPES)]
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


@pytest.fixture
def whole_folder(folder):
    """The data set of drawings, now of several shapes."""
    numbers = {item.path: number for number, item in enumerate(folder.items(None))}
    original = folder.picture
    folder.whole_picture = lambda item, size: shaped(original(item, 64), numbers[item.path])
    return folder


@pytest.fixture
def pipeline(images):
    return images.model_copy(update={"size": 16, "crop": RESIZED})


@pytest.fixture
def prepared(task, pipeline, whole_folder, tmp_path):
    return prepare(task, pipeline, whole_folder, None, tmp_path / "home")


@pytest.fixture
def upright(prepared, whole_folder) -> list[np.ndarray]:
    """Every picture of the training side by itself, not from the store."""
    by_path = {item.path: item for item in whole_folder.items(None)}
    return [np.asarray(whole_folder.whole_picture(by_path[path], SIDE)) for path in prepared.train.paths]


def test_a_store_gives_every_picture_back_as_it_was(prepared, upright):
    assert isinstance(prepared.images, WholePictures)
    assert {picture.shape[:2] for picture in upright} == set(SHAPES)
    for row, wanted in zip(prepared.train.rows.tolist(), upright, strict=True):
        assert np.array_equal(prepared.picture(row).numpy(), wanted)
    assert len(prepared.images) == sum(
        map(len, (prepared.train.rows, prepared.validation.rows, prepared.test_rows))
    )


def test_by_rows_it_gives_the_middle_where_torchvision_has_it(prepared, upright):
    squares = prepared.images[prepared.train.rows]
    assert squares.shape == (len(upright), SIDE, SIDE, 3)
    for found, picture in zip(squares, upright, strict=True):
        top, left = (round((side - SIDE) / 2) for side in picture.shape[:2])
        assert np.array_equal(found.numpy(), picture[top : top + SIDE, left : left + SIDE])


def test_boxes_of_many_pictures_are_those_of_each_alone(prepared, upright):
    rows = prepared.train.rows
    boxes = random_boxes(prepared.images.sizes[rows], RESIZED, 16, generator(1))
    found = prepared.images.crops(rows, boxes, 16, "cpu")
    assert found.is_contiguous(memory_format=torch.channels_last)
    for own, box, picture in zip(found, boxes, upright, strict=True):
        alone = torch.from_numpy(picture.copy()).permute(2, 0, 1).float()[None]
        torch.testing.assert_close(own, resized_crops(alone, box[None], 16)[0], atol=1e-3, rtol=0)


def test_training_and_evaluation_see_parts_normalised(prepared, pipeline):
    rows = prepared.train.rows[[3, 1, 4, 2]]
    boxes = random_boxes(prepared.images.sizes[rows], RESIZED, 16, generator(5))
    wanted = prepared.images.crops(rows, boxes, 16, "cpu")
    found = to_training_input(prepared.images, rows, pipeline, "cpu", generator(5))
    mean, std = float(pipeline.mean), float(pipeline.std)
    torch.testing.assert_close(found, (wanted / 255 - mean) / std, atol=1e-5, rtol=0)
    assert to_input(prepared.images[rows], pipeline, "cpu").shape == (4, 3, 16, 16)


@pytest.mark.parametrize("crop", [RESIZED, ANYWHERE])
def test_boxes_reach_all_of_a_picture_and_nothing_beside_it(crop):
    sizes = torch.tensor(SHAPES).repeat(4_000, 1)
    boxes = random_boxes(sizes, crop, 16, generator())
    ends = boxes[:, :2] + boxes[:, 2:]
    assert (boxes >= 0).all()
    assert (ends <= sizes).all()
    for shape in SHAPES:
        own = (sizes == torch.tensor(shape)).all(dim=1)
        assert boxes[own, :2].amin(dim=0).tolist() == [0, 0]
        assert ends[own].amax(dim=0).tolist() == list(shape)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((20, 64), [0, 18, 20, 27]),  # wider than 4/3: as high as it is, 20 · 4/3 wide, in the middle
        ((47, 20), [10, 0, 27, 20]),  # narrower than 3/4: as wide as it is, 20 / (3/4) high
        ((21, 20), [0, 0, 21, 20]),  # within: all of it
    ],
)
def test_where_no_box_fits_it_is_torchvisions_largest(shape, box):
    never = Crop(stored=20, keep="whole", kind="random-resized", area=[1, 1], ratio=["0.75", "1.3333333333"])
    sizes = torch.tensor([shape]).expand(400, 2)
    boxes = random_boxes(sizes, never, 16, generator())
    common = boxes.unique(dim=0, return_counts=True)
    assert common[0][common[1].argmax()].tolist() == box


def test_whole_pictures_and_squares_are_stores_of_their_own(task, pipeline, whole_folder, tmp_path):
    square = pipeline.model_copy(update={"crop": RESIZED.model_copy(update={"keep": "square"})})
    stores = [prepare(task, one, whole_folder, None, tmp_path / "home") for one in (pipeline, square)]
    assert stores[0].folder != stores[1].folder
    assert stores[1].images.shape[1:] == (SIDE, SIDE, 3)
    assert stores[0].fingerprint == stores[1].fingerprint  # the sources are the same
    assert stores[0].digest != stores[1].digest


def test_equal_pictures_on_two_sides_are_found_by_all_of_them(task, pipeline, whole_folder, tmp_path):
    """Two that differ beside their middle alone are two."""
    first = whole_folder.items(None)[0].path

    def alike(item, size):
        picture = Image.new("RGB", (64, 20), "white")
        if item.path == first:
            picture.putpixel((0, 0), (0, 0, 0))
        return picture

    whole_folder.whole_picture = alike
    found = verify(prepare(task, pipeline, whole_folder, None, tmp_path / "home"))
    (group,) = found.shared_first
    assert sum(map(len, group.values())) == len(whole_folder.items(None)) - 1


def test_a_data_set_of_squares_says_so(task, pipeline, folder, tmp_path):
    with pytest.raises(DataError, match="this data set gives squares") as error:
        prepare(task, pipeline, folder, None, tmp_path / "home")
    assert 'keep = "square"' in error.value.way_out


def test_a_picture_with_another_shorter_side_is_the_plugins_fault(task, pipeline, whole_folder, tmp_path):
    whole_folder.whole_picture = lambda item, size: Image.new("RGB", (size + 1, size + 2))
    with pytest.raises(ContractError, match=f"21 x 22 pixels.*asked for a shorter side of {SIDE}"):
        prepare(task, pipeline, whole_folder, None, tmp_path / "home")


def test_a_track_of_squares_keeps_its_digest():
    assert "keep" not in Crop(stored=20, kind="random").model_dump(exclude_defaults=True)
