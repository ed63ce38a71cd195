"""Crops against Pillow, torch's antialiased resizing, numbers by hand, and torchvision where it is there."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import ValidationError

from dmlbench.data.augment import augment, to_input, to_training_input
from dmlbench.data.crop import middle, random_boxes, resized_crops
from dmlbench.data.prepare import prepare
from dmlbench.spec.model import digest
from dmlbench.spec.track import Crop
from dmlbench.train.images import TrainingImages

RESIZED = Crop(stored=48, kind="random-resized", area=["0.08", "1"], ratio=["0.75", "1.3333333333"])
ANYWHERE = Crop(stored=48, kind="random")
BOXES = [(0, 0, 48, 48), (3, 7, 40, 13), (30, 1, 5, 44), (47, 47, 1, 1), (8, 8, 32, 32), (5, 0, 31, 33)]


ALL = torch.arange(len(BOXES))


def squares(count: int) -> torch.Tensor:
    return torch.full((count, 2), 48)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def photos(drawings) -> torch.Tensor:
    """uint8, item x 48 x 48 x 3."""
    chosen = list(drawings.values())[: len(BOXES)]
    return torch.from_numpy(np.stack([np.asarray(one.resize((48, 48))) for one in chosen]))


@pytest.fixture(scope="module")
def floats(photos) -> torch.Tensor:
    return photos.permute(0, 3, 1, 2).float()


def test_by_hand():
    """Four pixels to two: triangles of half-width 2 about 1 and 3, cut at the border."""
    images = torch.tensor([0.0, 8, 16, 40]).expand(1, 1, 4, 4)
    found = resized_crops(images, torch.tensor([[0, 0, 4, 4]]), 2)
    # (0.75 · 0 + 0.75 · 8 + 0.25 · 16) / 1.75 and (0.25 · 8 + 0.75 · 16 + 0.75 · 40) / 1.75
    torch.testing.assert_close(found[0, 0, 0], torch.tensor([10 / 1.75, 44 / 1.75]))


def test_by_hand_with_a_box_and_larger():
    """Two pixels of four to four: weights 1, 3/4, 1/4; beyond the outer centres nothing changes."""
    images = torch.tensor([100.0, 8, 16, 100]).expand(1, 1, 4, 4)
    found = resized_crops(images, torch.tensor([[1, 1, 2, 2]]), 4)
    torch.testing.assert_close(found[0, 0, 2], torch.tensor([8.0, 10, 14, 16]))


@pytest.mark.parametrize("size", [8, 24, 31, 48, 64])
def test_boxes_are_resized_as_torch_resizes_them(floats, size):
    found = resized_crops(floats, torch.tensor(BOXES), size)
    for image, (top, left, height, width), own in zip(floats, BOXES, found, strict=True):
        cut = image[None, :, top : top + height, left : left + width]
        wanted = F.interpolate(cut, (size, size), mode="bilinear", antialias=True, align_corners=False)
        torch.testing.assert_close(own, wanted[0], atol=2e-3, rtol=0)  # of 255 levels


@pytest.mark.parametrize("size", [8, 24, 31, 48, 64])
def test_boxes_are_resized_as_pillow_resizes_them_but_for_its_rounding(photos, floats, size):
    found = resized_crops(floats, torch.tensor(BOXES), size)
    for image, (top, left, height, width), own in zip(photos, BOXES, found, strict=True):
        cut = Image.fromarray(image.numpy()[top : top + height, left : left + width])
        wanted = np.asarray(cut.resize((size, size), Image.Resampling.BILINEAR))
        assert np.abs(own.permute(1, 2, 0).numpy() - wanted).max() <= 1.01


def test_a_box_of_the_size_itself_is_a_copy(floats):
    found = resized_crops(floats, torch.tensor([(8, 3, 32, 32)] * len(floats)), 32)
    torch.testing.assert_close(found, floats[:, :, 8:40, 3:35], atol=1e-4, rtol=0)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_gradients_are_none_of_its_business_but_nothing_is_written_to_the_input(floats):
    before = floats.clone()
    resized_crops(floats, torch.tensor(BOXES), 20)
    assert torch.equal(floats, before)


def test_boxes_lie_inside_and_have_the_areas_and_ratios_asked_for():
    boxes = random_boxes(squares(20_000), RESIZED, 32, generator())
    top, left, height, width = boxes.unbind(1)
    assert (boxes[:, :2] >= 0).all()
    assert ((top + height <= 48) & (left + width <= 48)).all()
    share, ratio = height * width / 48**2, width / height
    assert share.min() > 0.06  # sides are whole pixels
    assert share.max() == 1
    # uniform but for the large boxes that do not fit in a shape
    assert 0.08 + 0.2 * 0.92 < share.quantile(0.25) < 0.08 + 0.27 * 0.92
    assert abs(ratio.log().mean()) < 0.01
    assert ratio.min() > 0.65
    assert ratio.max() < 1.5
    assert abs(((top + height / 2) / 48).mean() - 0.5) < 0.01


def test_where_no_box_fits_it_is_the_largest_in_the_middle():
    wide = Crop(stored=48, kind="random-resized", area=[1, 1], ratio=[2, 2])
    assert random_boxes(squares(3), wide, 32, generator()).tolist() == [[12, 0, 24, 48]] * 3
    tall = Crop(stored=48, kind="random-resized", area=[1, 1], ratio=["0.5", "0.5"])
    assert random_boxes(squares(3), tall, 32, generator()).tolist() == [[0, 12, 48, 24]] * 3
    whole = Crop(stored=48, kind="random-resized", area=[1, 1], ratio=[1, 1])
    assert random_boxes(squares(3), whole, 32, generator()).tolist() == [[0, 0, 48, 48]] * 3


def test_random_crops_reach_every_place_alike():
    boxes = random_boxes(squares(17_000), ANYWHERE, 32, generator())
    assert (boxes[:, 2:] == 32).all()
    for corner in boxes[:, :2].unbind(1):
        counts = torch.bincount(corner, minlength=17)
        assert len(counts) == 17
        assert (counts > 850).all()
        assert (counts < 1150).all()


@pytest.mark.parametrize("stored", [48, 47])
def test_evaluation_sees_the_middle(photos, make_pipeline, stored):
    pipeline = make_pipeline(size=32).model_copy(update={"crop": Crop(stored=stored, kind="random")})
    cut = photos[:, :stored, :stored]
    start = 8  # of 7.5 the even one, as torchvision's center_crop
    found = to_input(cut, pipeline, "cpu")
    assert torch.equal(
        found, to_input(cut[:, start : start + 32, start : start + 32], make_pipeline(), "cpu")
    )
    assert torch.equal(middle(cut, 32), cut[:, start : start + 32, start : start + 32])


def test_training_sees_what_was_drawn_normalised(photos, make_pipeline):
    pipeline = make_pipeline(size=24).model_copy(update={"crop": RESIZED})
    found = to_training_input(photos, ALL, pipeline, "cpu", generator(5))
    boxes = random_boxes(squares(len(photos)), RESIZED, 24, generator(5))
    wanted = resized_crops(photos.permute(0, 3, 1, 2).float(), boxes, 24)
    torch.testing.assert_close(found, (wanted / 255 - 0.5) / 0.25, atol=1e-5, rtol=0)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(found, to_training_input(photos, ALL, pipeline, "cpu", generator(6)))


def test_a_run_trains_on_parts_and_is_evaluated_on_the_middle(photos, make_pipeline):
    pipeline = make_pipeline(size=24).model_copy(update={"crop": RESIZED})
    rows = torch.tensor([4, 1, 2])
    images = TrainingImages(photos, rows, torch.zeros(3), {}, pipeline, torch.device("cpu"))
    some = torch.tensor([2, 0])
    assert torch.equal(images.plain(some), to_input(photos[[2, 4]], pipeline, "cpu"))
    assert images.plain(some).shape == (2, 3, 24, 24)
    wanted = to_training_input(photos, torch.tensor([2, 4]), pipeline, "cpu", generator(3))
    assert torch.equal(images.augmented(some, generator(3)), wanted)


def test_without_crops_nothing_is_drawn(photos, make_pipeline):
    drawn, untouched = generator(), generator()
    found = to_training_input(photos, ALL, make_pipeline(size=48), "cpu", drawn)
    assert torch.equal(found, to_input(photos, make_pipeline(size=48), "cpu"))
    assert torch.equal(drawn.get_state(), untouched.get_state())


def test_flips_follow_the_crop(photos, make_pipeline):
    pipeline = make_pipeline(size=24, flip=1).model_copy(update={"crop": ANYWHERE})
    seen = to_training_input(photos, ALL, pipeline, "cpu", generator(2))
    torch.testing.assert_close(augment(seen, pipeline, generator()), seen.flip(3), atol=1e-5, rtol=0)


def test_the_store_has_the_larger_squares(task, images, folder, tmp_path):
    larger = images.model_copy(update={"crop": Crop(stored=20, kind="random")})
    stores = [prepare(task, one, folder, None, tmp_path / "home") for one in (images, larger)]
    assert [tuple(store.images.shape[1:]) for store in stores] == [(16, 16, 3), (20, 20, 3)]


def test_a_track_without_crops_keeps_its_digest(images):
    assert "crop" not in images.model_dump(exclude_defaults=True)
    assert digest(images) != digest(images.model_copy(update={"crop": Crop(stored=20, kind="random")}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "random", "area": [0.5, 1]},
        {"kind": "random-resized"},
        {"kind": "random-resized", "area": [0.5, 1]},
        {"kind": "random-resized", "area": [1, 0.5], "ratio": [1, 1]},
        {"kind": "random-resized", "area": [0, 1], "ratio": [1, 1]},
        {"kind": "random-resized", "area": [0.5, 2], "ratio": [1, 1]},
    ],
)
def test_ranges_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValidationError):
        Crop(stored=48, **wrong)


def test_no_crop_is_larger_than_what_is_stored(make_pipeline):
    found = make_pipeline(size=16).model_dump()
    with pytest.raises(ValidationError, match="crops of 16 pixels"):
        type(make_pipeline()).model_validate(found | {"crop": {"stored": 15, "kind": "random"}})


@pytest.fixture(scope="module")
def transforms():
    """torchvision's; operators that its compiled part would declare are declared without it."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("torchvision.transforms")
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        found = importlib.import_module("torchvision.transforms")
        found.operators = library  # they live as long as the module
        return found


def test_crops_are_torchvisions(transforms, floats):
    for size in (24, 64):
        found = resized_crops(floats, torch.tensor(BOXES), size)
        for image, box, own in zip(floats, BOXES, found, strict=True):
            wanted = transforms.functional.resized_crop(image, *box, [size, size], antialias=True)
            torch.testing.assert_close(own, wanted, atol=2e-3, rtol=0)


@pytest.mark.parametrize("size", [32, 31])
def test_the_middle_is_torchvisions(transforms, photos, size):
    wanted = transforms.functional.center_crop(photos.permute(0, 3, 1, 2), [size, size])
    assert torch.equal(middle(photos, size).permute(0, 3, 1, 2), wanted)


def test_boxes_are_distributed_as_torchvisions(transforms):
    """Deciles of areas, of ratios and of corners, over 10,000 boxes each."""
    torch.manual_seed(0)
    picture = torch.zeros(1, 48, 48)
    limits = ([0.08, 1.0], [0.75, 1.3333333333])
    theirs = [transforms.RandomResizedCrop.get_params(picture, *limits) for _ in range(10_000)]
    both = [torch.tensor(theirs).double(), random_boxes(squares(10_000), RESIZED, 32, generator()).double()]
    deciles = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    for quantity in (
        lambda box: box[:, 2] * box[:, 3] / 48**2,
        lambda box: (box[:, 3] / box[:, 2]).log(),
        lambda box: box[:, 0] / 48,
        lambda box: box[:, 1] / 48,
    ):
        one, other = (quantity(box).quantile(deciles) for box in both)
        assert (one - other).abs().max() < 0.03
