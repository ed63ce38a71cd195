"""Pictures that are no colours: as many bands as the track has channels, from the plugin to the input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from dmlbench.data.augment import augment, to_input
from dmlbench.data.pictures import read_picture
from dmlbench.data.prepare import prepare
from dmlbench.data.sheet import write_sheet
from dmlbench.errors import ContractError, DataError
from dmlbench.spec.model import digest

BANDS = 10


class Banded:
    """The pictures of a folder in ten bands: band b is the grey picture times (b + 1) / 10."""

    needs_root, downloads = True, ()

    def __init__(self, folder, dtype=np.uint8):
        self._folder, self._dtype = folder, dtype
        self.versions, self.source, self.items = folder.versions, folder.source, folder.items

    def picture(self, item, size):
        grey = np.asarray(self._folder.picture(item, size).convert("L"), dtype=float)
        return (grey[:, :, None] * np.arange(1, BANDS + 1) / BANDS).astype(self._dtype)


@pytest.fixture
def banded(folder):
    return Banded(folder)


def test_a_store_has_every_band_in_its_place(banded, folder, task, make_pipeline, tmp_path):
    data = prepare(task, make_pipeline(channels=BANDS), banded, folder.root, tmp_path / "home")
    assert data.images.shape == (36, 16, 16, BANDS)
    items = {item.path: item for item in folder.items(None)}
    for row, path in zip(data.train.rows.tolist(), data.train.paths, strict=True):
        assert np.array_equal(data.images[row].numpy(), banded.picture(items[path], 16))
    write_sheet(data, "bands", tmp_path / "sheet.png")


def test_inputs_are_normalised_and_moved_alike_in_all_bands(make_pipeline):
    pipeline = make_pipeline(channels=BANDS, flip=1, rotation_degrees=20, shift=0.1)
    plain = torch.randint(0, 256, (4, 16, 16, 1), generator=torch.Generator().manual_seed(0))
    images = plain.repeat(1, 1, 1, BANDS).to(torch.uint8)
    images[..., 3] = 255 - images[..., 3]
    inputs = to_input(images, pipeline, "cpu")
    assert inputs.shape == (4, BANDS, 16, 16)
    assert torch.allclose(inputs, (images.permute(0, 3, 1, 2) / 255 - 0.5) / 0.25, atol=1e-6)
    moved = augment(inputs, pipeline, torch.Generator().manual_seed(1))
    assert moved.shape == inputs.shape
    assert not torch.equal(moved, inputs)
    others = [band for band in range(BANDS) if band != 3]
    assert torch.equal(moved[:, others], moved[:, :1].expand(-1, BANDS - 1, -1, -1))
    alone = augment(inputs[:, 3:4], make_pipeline(channels=1, flip=1, rotation_degrees=20, shift=0.1),
                    torch.Generator().manual_seed(1))  # fmt: skip
    assert torch.allclose(moved[:, 3:4], alone, atol=1e-6)


@pytest.mark.parametrize("change", ["brightness", "contrast", "saturation"])
def test_colours_are_changed_where_there_are_colours_alone(make_pipeline, change):
    with pytest.raises(ValidationError, match="changed in 1 or 3 channels alone"):
        make_pipeline(channels=BANDS, **{change: 0.1})
    make_pipeline(channels=3, **{change: 0.1})


def test_channels_are_a_number_of_one_or_more(make_pipeline):
    with pytest.raises(ValidationError):
        make_pipeline(channels=0)
    assert digest(make_pipeline(channels=3)) != digest(make_pipeline(channels=10))


@pytest.mark.parametrize("channels", [1, 3, 9])
def test_another_number_of_bands_than_the_track_has_is_an_error(banded, folder, channels):
    item = folder.items(None)[0]
    with pytest.raises(DataError) as error:
        read_picture(banded, item, 16, channels)
    assert error.value.message == f"the track has {channels} channels, and {item.path} has 10 bands"
    assert error.value.way_out == "a track with 10 channels"


def test_a_picture_in_colours_does_not_serve_a_track_of_bands(folder):
    with pytest.raises(DataError, match=r"the track has 10 channels, and .* is a picture in colours"):
        read_picture(folder, folder.items(None)[0], 16, BANDS)


def test_an_array_of_another_form_is_the_plugins_fault(folder):
    item = folder.items(None)[0]
    with pytest.raises(ContractError, match=r"returned float64 of shape \(16, 16, 10\)"):
        read_picture(Banded(folder, dtype=float), item, 16, BANDS)
    wide = Banded(folder)
    wide.picture = lambda item, size: np.zeros((size, size + 1, BANDS), dtype=np.uint8)
    with pytest.raises(ContractError, match=r"uint8 of shape \(16, 17, 10\)"):
        read_picture(wide, item, 16, BANDS)
