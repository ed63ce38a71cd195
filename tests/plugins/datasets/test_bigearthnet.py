from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dmlbench_plugins.datasets import bigearthnet as module
from dmlbench_plugins.datasets.bigearthnet import BANDS, DROPPED, MERGED, BigEarthNet
from PIL import Image

from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, read_picture

SIDES = {"B02": 120, "B03": 120, "B04": 120, "B08": 120, "B01": 20, "B09": 20}
"""Pixels a side; the other bands have 60."""
ALL_BANDS = ("B01", *BANDS, "B09")
PATCHES = {
    "S2A_MSIL2A_20170613T101031_0_48": ("33UUP", ["Pastures", "Rice fields", "Airports"]),
    "S2A_MSIL2A_20170613T101031_12_7": ("33UUP", ["Continuous urban fabric", "Discontinuous urban fabric"]),
    "S2B_MSIL2A_20180101T101031_0_48": ("33UUP", ["Sea and ocean", "Bare rock"]),
    "S2B_MSIL2A_20180101T110000_3_3": ("29SNC", ["Port areas", "Dump sites"]),
}


@pytest.fixture
def write(tmp_path):
    """Write patches in the published layout; band b of patch p is 100 p + 10 b plus a ramp."""

    def patches(known=PATCHES) -> Path:
        folder = tmp_path / "BigEarthNet-v1.0"
        for number, (patch, (tile, labels)) in enumerate(known.items()):
            (folder / patch).mkdir(parents=True)
            for place, band in enumerate(ALL_BANDS):
                side = SIDES.get(band, 60)
                ramp = np.arange(side)[:, None] * (1200 // side) + np.zeros(side)
                numbers = (100 * number + 10 * place + ramp).astype(np.uint16)
                Image.fromarray(numbers).save(folder / patch / f"{patch}_{band}.tif")
            metadata = {
                "labels": labels,
                "coordinates": {"ulx": 300000, "uly": 5900040, "lrx": 301200, "lry": 5898840},
                "projection": "PROJCS[WGS 84 / UTM zone 33N]",
                "tile_source": f"S2A_MSIL1C_20170613T101031_N0205_R022_T{tile}_20170613T101608.SAFE",
                "acquisition_date": "2017-06-13 10:10:31",
            }
            (folder / patch / f"{patch}_labels_metadata.json").write_text(json.dumps(metadata))
        return folder

    return patches


def test_the_nineteen_labels_merge_thirty_two_and_drop_eleven_of_forty_three():
    merged = [old for olds in MERGED.values() for old in olds]
    assert len(MERGED) == 19
    assert len(merged) == len(set(merged)) == 32
    assert len(set(merged) | set(DROPPED)) == 32 + 11 == 43
    # What the authors' paper says of the merged ones.
    assert MERGED["Marine waters"] == ("Coastal lagoons", "Estuaries", "Sea and ocean")
    assert MERGED["Coastal wetlands"] == ("Salt marshes", "Salines")
    assert Counter(map(len, MERGED.values())) == {1: 10, 2: 6, 3: 2, 4: 1}


def test_items_have_the_merged_labels_and_those_without_any_are_left_out(write):
    items = BigEarthNet().items(write())
    assert {item.path: item.labels for item in items} == {
        "S2A_MSIL2A_20170613T101031_0_48": ("Arable land", "Pastures"),
        "S2A_MSIL2A_20170613T101031_12_7": ("Urban fabric",),
        "S2B_MSIL2A_20180101T101031_0_48": ("Marine waters",),
    }
    assert [item.path for item in items] == sorted(item.path for item in items)


def test_with_43_labels_all_patches_and_labels_stay(write):
    items = BigEarthNet(nomenclature=43).items(write())
    assert {item.path: item.labels for item in items} == {
        patch: tuple(sorted(labels)) for patch, (_, labels) in PATCHES.items()
    }


def test_the_class_is_the_tile_and_a_place_stays_together_whatever_the_date(write):
    items = BigEarthNet(nomenclature=43).items(write())
    assert [(item.label, item.group) for item in items] == [
        ("33UUP", "33UUP/0_48"), ("33UUP", "33UUP/12_7"), ("33UUP", "33UUP/0_48"), ("29SNC", "29SNC/3_3"),
    ]  # fmt: skip


def test_the_folder_around_is_as_good(write):
    folder = write()
    assert BigEarthNet().items(folder.parent) == BigEarthNet().items(folder)


def test_a_picture_has_ten_bands_in_order_of_wavelength_and_60_m_ones_are_left_out(write):
    dataset = BigEarthNet()
    item = dataset.items(write())[1]
    picture = dataset.picture(item, 120)
    assert (picture.shape, picture.dtype) == ((120, 120, 10), np.uint8)
    for place, band in enumerate(BANDS):
        step = 1200 // SIDES.get(band, 60)
        first = 100 + 10 * (1 + place)  # of patch number 1
        # Bands of 10 m are as they are; those of 20 m have a ramp of half the steps, twice as many.
        row = np.arange(120) * 10 if step == 10 else (np.arange(120) - 0.5) * 10
        expected = np.rint(255 * np.sqrt((first + row).clip(0) / 10_000))
        inner = slice(4, -4)  # the cubic bends at the border
        assert np.abs(picture[inner, :, place].astype(int) - expected[inner, None]).max() <= 1, band


def test_reflectances_are_held_between_0_and_1(write):
    dataset = BigEarthNet()
    folder = write()
    item = dataset.items(folder)[0]
    for band, number in (("B02", 0), ("B03", 10_000), ("B04", 65_535), ("B05", 2_500)):
        side = SIDES.get(band, 60)
        Image.fromarray(np.full((side, side), number, np.uint16)).save(
            folder / item.path / f"{item.path}_{band}.tif"
        )
    picture = dataset.picture(item, 120)
    assert [set(picture[:, :, place].flatten().tolist()) for place in range(4)] == [{0}, {255}, {255}, {128}]


def test_other_sizes_and_the_bytes_of_a_store(write):
    dataset = BigEarthNet()
    item = dataset.items(write())[0]
    found = read_picture(dataset, item, 60, 10)
    assert len(found.pixels) == 60 * 60 * 10
    assert read_picture(BigEarthNetAgain(dataset), item, 60, 10) == found
    with pytest.raises(DataError, match=r"the track has 3 channels, and .* has 10 bands"):
        read_picture(dataset, item, 60, 3)


class BigEarthNetAgain:
    """The same reader, asked anew."""

    def __init__(self, dataset):
        self.source, self.picture = dataset.source, dataset.picture


def test_the_source_is_all_ten_files(write):
    dataset = BigEarthNet()
    folder = write()
    one = dataset.items(folder)[0]
    before = dataset.source(one)
    for band in ("B01", "B09"):
        (folder / one.path / f"{one.path}_{band}.tif").unlink()
    assert dataset.source(one) == before
    (folder / one.path / f"{one.path}_B12.tif").unlink()
    with pytest.raises(UnreadablePicture, match="_0_48"):
        read_picture(dataset, one, 120, 10)


def test_eight_bits_are_not_what_was_published(write):
    dataset = BigEarthNet()
    folder = write()
    item = dataset.items(folder)[0]
    Image.new("L", (120, 120)).save(folder / item.path / f"{item.path}_B02.tif")
    with pytest.raises(UnreadablePicture, match="has mode L, not 16 bits"):
        read_picture(dataset, item, 120, 10)


def test_a_part_of_the_set_is_told_by_its_number_of_patches(write, monkeypatch):
    dataset = BigEarthNet()
    items = dataset.items(write())
    with pytest.raises(DataError, match="4 patches, published are 590,326") as caught:
        dataset.check_counts(items)
    assert "--allow-partial" in caught.value.way_out
    monkeypatch.setattr(module, "PATCHES", 4)
    dataset.check_counts(items)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": ["Lava"]}, "'Lava' is none of the 43 labels"),
        ({"tile_source": "S2A"}, "no tile in 'S2A'"),
        ({"labels": None}, "cannot make out"),
    ],
)
def test_a_damaged_file_of_labels_is_named(write, changed, message):
    folder = write()
    file = next(folder.glob("*_12_7/*.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    with pytest.raises(DataError, match=message) as caught:
        BigEarthNet().items(folder)
    assert file.name in str(caught.value)


TASK = """
id = "land"
summary = "Patches made up for a test."
track = "land"
protocol = "multi-label/v1"
dataset = { component = "dmlbench:bigearthnet" }
split = { rule = "within-class", seed = 0, train = 0.5, validation = 0.25 }
"""
TRACK = """
id = "land"
summary = "A very small network on ten bands."
dimension = 16
pretraining = "none"
batch_size = 8
batchnorm = "train"
backbone = { component = "dmlbench:conv4", settings = { width = 8 } }
head = { component = "dmlbench:linear" }
sampler = { component = "dmlbench:random" }
optimiser = { name = "adamw", rate = 2e-3, weight_decay = 5e-4, schedule = "cosine" }
budget = { smoke = 160, quick = 160, ranked = 160 }

[images]
size = 24
channels = 10
mean = 0.35
std = 0.2

[images.augmentation]
rotation_degrees = 0
scale = [1, 1]
shift = 0
flip = 0.5
brightness = 0
contrast = 0
saturation = 0
"""


@pytest.mark.slow
def test_a_network_trains_on_ten_bands(write, tmp_path, monkeypatch, dmlbench):
    labels = ["Pastures", "Mixed forest", "Sea and ocean", "Rice fields"]
    known = {
        f"S2A_MSIL2A_20170613T101031_{n}_{n}": ("33UUP", [labels[n % 4], labels[(n + 1) % 4]])
        for n in range(40)
    }
    folder = write(known)
    for name, text in (("tasks/land", TASK), ("tracks/land", TRACK)):
        (tmp_path / "local" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "local" / f"{name}.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DMLBENCH_HOME", str(tmp_path / "home"))
    refused = dmlbench("data", "prepare", "land", "--from", folder)
    assert refused.status == 2
    assert "40 patches, published are 590,326" in refused.err
    done = dmlbench("data", "prepare", "land", "--from", folder, "--allow-partial")
    assert done.status == 0, done.err
    refused = dmlbench("run", "untrained", "--task", "land", "--profile", "smoke")
    assert refused.status == 2
    assert "only a part of the data set is prepared here" in refused.err
    monkeypatch.setattr(module, "PATCHES", 40)
    done = dmlbench("data", "prepare", "land", "--from", folder)
    assert done.status == 0, done.err
    done = dmlbench("run", "contrastive", "untrained", "--task", "land", "--profile", "smoke", "--json")
    assert done.status == 0, done.err
    records = json.loads(done.out)
    assert [record["outcome"]["status"] for record in records] == ["ok", "ok"]
    assert records[0]["images_seen"] == 160
    assert records[0]["queries"] == 10


def test_other_folders_and_none_are_errors_with_a_way_out(tmp_path):
    (tmp_path / "empty").mkdir()
    for root in (None, tmp_path, tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(DataError, match="there are no patches") as caught:
            BigEarthNet().items(root)
        assert "--from" in caught.value.way_out
