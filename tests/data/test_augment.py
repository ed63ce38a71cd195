from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from dmlbench.data import augment as module
from dmlbench.data.augment import augment, to_input

STRONG = {
    "rotation_degrees": 20,
    "scale": [0.8, 1.2],
    "shift": 0.1,
    "flip": 0.5,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
}
WHITE = 2.0  # (1 - mean) / std with mean 0.5, std 0.25


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pictures(drawings) -> torch.Tensor:
    """uint8, item x 24 x 24 x 3."""
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in drawings.values()]))


def test_input_is_scaled_and_channels_last(pictures, make_pipeline):
    x = to_input(pictures, make_pipeline(), "cpu")
    assert x.shape == (36, 3, 24, 24)
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(x, ((pictures.double() / 255 - 0.5) / 0.25).permute(0, 3, 1, 2).float())


def test_without_changes_the_input_comes_back(pictures, make_pipeline):
    x = to_input(pictures, make_pipeline(), "cpu")
    assert torch.equal(augment(x, make_pipeline(), generator()), x)


@pytest.mark.parametrize(
    "changes", [{"flip": 1e-12}, {"scale": ["0.999999999", "1.000000001"]}, {"contrast": 1e-9}]
)
def test_changes_that_change_nothing_give_the_input_back(pictures, make_pipeline, changes):
    x = to_input(pictures, make_pipeline(), "cpu")
    torch.testing.assert_close(augment(x, make_pipeline(**changes), generator()), x, atol=1e-5, rtol=0)


def test_a_sure_flip_is_the_mirror_image(pictures, make_pipeline):
    x = to_input(pictures, make_pipeline(), "cpu")
    torch.testing.assert_close(augment(x, make_pipeline(flip=1), generator()), x.flip(3), atol=1e-5, rtol=0)


def test_half_of_many_images_are_flipped(make_pipeline):
    x = torch.zeros(1000, 1, 8, 8)
    x[:, :, :, 0] = 1
    flipped = augment(x, make_pipeline(flip=0.5), generator())[:, 0, 4, 7] > 0.5
    assert 430 < flipped.sum() < 570


def test_zoom_makes_the_drawing_larger(make_pipeline):
    x = torch.full((4, 1, 32, 32), WHITE)
    x[:, :, 12:20, 12:20] = -WHITE
    ink = (WHITE - augment(x, make_pipeline(scale=[2, "2.000000001"]), generator())).sum(dim=(1, 2, 3))
    torch.testing.assert_close(ink, torch.full((4,), 4.0 * 64 * 2 * WHITE), rtol=0.02, atol=0)


def test_a_shift_moves_by_the_share_of_the_side(make_pipeline):
    x = torch.full((200, 1, 32, 32), WHITE)
    x[:, :, 15:17, 15:17] = -WHITE
    ink = WHITE - augment(x, make_pipeline(shift=0.25), generator())
    column = (ink.sum(dim=(1, 2)) * (torch.arange(32) + 0.5)).sum(dim=1) / ink.sum(dim=(1, 2, 3)) - 16
    assert column.abs().max() <= 8 + 1e-3
    assert column.min() < -7
    assert column.max() > 7


def test_a_rotation_stays_within_its_degrees(make_pipeline):
    x = torch.full((200, 1, 33, 33), WHITE)
    x[:, :, 16, 28] = -WHITE  # 12 pixels to the right of the centre
    ink = WHITE - augment(x, make_pipeline(rotation_degrees=30), generator())
    centre = torch.arange(33) - 16.0
    down = (ink.sum(dim=(1, 3)) * centre).sum(dim=1) / ink.sum(dim=(1, 2, 3))
    right = (ink.sum(dim=(1, 2)) * centre).sum(dim=1) / ink.sum(dim=(1, 2, 3))
    degrees = torch.rad2deg(torch.atan2(down, right))
    torch.testing.assert_close(torch.hypot(down, right), torch.full((200,), 12.0), atol=0.3, rtol=0)
    assert degrees.abs().max() < 31
    assert degrees.abs().max() > 27


def test_what_comes_in_at_the_border_is_white(make_pipeline):
    white = torch.full((50, 3, 16, 16), WHITE)
    moved = augment(
        white, make_pipeline(rotation_degrees=45, scale=[0.5, 2], shift=0.5, flip=0.5), generator()
    )
    torch.testing.assert_close(moved, white)


@pytest.mark.parametrize("change", ["brightness", "contrast", "saturation"])
def test_each_colour_change_agrees_with_pillow(pictures, make_pipeline, change):
    """To two levels of 255: Pillow cuts the digits behind the point and rounds the mean."""
    enhance = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
    }
    pipeline = make_pipeline(**{change: 0.4})
    out = augment(to_input(pictures, pipeline, "cpu"), pipeline, generator(3))
    column = 5 + list(enhance).index(change)
    factors = 1 + (torch.rand(36, 8, generator=generator(3))[:, column] * 2 - 1) * 0.4
    for image, found, factor in zip(pictures, out, factors.tolist(), strict=True):
        wanted = np.asarray(enhance[change](Image.fromarray(image.numpy())).enhance(factor))
        assert np.abs((found * 0.25 + 0.5).mul(255).permute(1, 2, 0).numpy() - wanted).max() < 2


def test_colour_changes_follow_one_after_another(pictures, make_pipeline):
    pipeline = make_pipeline(brightness=0.2, contrast=0.2, saturation=0.2)
    out = augment(to_input(pictures, pipeline, "cpu"), pipeline, generator(3)).double() * 0.25 + 0.5
    factors = 1 + (torch.rand(36, 8, generator=generator(3))[:, 5:8] * 2 - 1) * 0.2
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    for image, found, (brightness, contrast, saturation) in zip(pictures, out, factors.tolist(), strict=True):
        pixels = image.double() / 255 * brightness
        mean = (pixels @ luma).mean()
        pixels = mean + contrast * (pixels - mean)
        grey = (pixels @ luma)[:, :, None]
        pixels = grey + saturation * (pixels - grey)
        torch.testing.assert_close(found, pixels.clamp(0, 1).permute(2, 0, 1), atol=1e-5, rtol=0)


def test_colours_stay_between_black_and_white(pictures, make_pipeline):
    pipeline = make_pipeline(brightness=1, contrast=1, saturation=1)
    out = augment(to_input(pictures, pipeline, "cpu"), pipeline, generator())
    assert out.min() >= -2 - 1e-5
    assert out.max() <= 2 + 1e-5


@pytest.mark.parametrize("channels", [1, 3])
def test_the_result_is_channels_last_new_and_drawn_from_the_generator_alone(
    pictures, make_pipeline, channels
):
    pipeline = make_pipeline(channels=channels, **STRONG)
    x = to_input(pictures[..., :channels], pipeline, "cpu")
    before = x.clone()
    first = augment(x, pipeline, generator(1))
    torch.manual_seed(99)
    assert torch.equal(augment(x, pipeline, generator(1)), first)
    assert not torch.equal(augment(x, pipeline, generator(2)), first)
    assert torch.equal(x, before)
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert first.shape == x.shape


def test_each_image_gets_its_own_change(pictures, make_pipeline):
    pipeline = make_pipeline(**STRONG)
    same = to_input(pictures[:1].expand(8, -1, -1, -1), pipeline, "cpu")
    out = augment(same, pipeline, generator())
    assert len({row.numpy().tobytes() for row in out}) == 8


def test_switching_one_change_off_leaves_the_draws_of_the_others(pictures, make_pipeline):
    x = to_input(pictures, make_pipeline(), "cpu")
    turned = make_pipeline(rotation_degrees=20)
    with_flip_that_never_comes = make_pipeline(rotation_degrees=20, flip=1e-12)
    assert torch.equal(augment(x, turned, generator()), augment(x, with_flip_that_never_comes, generator()))


def test_the_generator_moves_on_alike_with_and_without_changes(make_pipeline):
    x = torch.zeros(5, 1, 8, 8)
    one, other = generator(), generator()
    augment(x, make_pipeline(), one)
    augment(x, make_pipeline(**STRONG), other)
    assert torch.equal(one.get_state(), other.get_state())


MOVES, COLOURS = ("rotation_degrees", "scale", "shift", "flip"), ("brightness", "contrast", "saturation")


@pytest.mark.parametrize(
    ("size", "channels", "batch"), [(24, 3, 36), (96, 3, 19), (224, 3, 17), (300, 3, 7), (64, 3, 1)]
)
@pytest.mark.parametrize("kept", [MOVES, COLOURS, MOVES + COLOURS], ids=["moves", "colours", "both"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_changed_in_parts_has_the_bits_of_one_changed_whole(
    make_pipeline, monkeypatch, request, size, channels, batch, kept, threads
):
    request.addfinalizer(lambda: torch.set_num_threads(1))
    torch.set_num_threads(threads)
    pipeline = make_pipeline(size=size, channels=channels, **{name: STRONG[name] for name in kept})
    stored = torch.randint(0, 256, (batch, size, size, channels), dtype=torch.uint8, generator=generator(1))
    x = to_input(stored, pipeline, "cpu")
    monkeypatch.setattr(module, "_CACHED", 1 << 40)
    whole = augment(x, pipeline, generator())
    for floats in (1, 10_000, 1 << 18):
        monkeypatch.setattr(module, "_CACHED", floats)
        parts = augment(x, pipeline, generator())
        assert torch.equal(parts, whole)
        assert parts.is_contiguous(memory_format=torch.channels_last)
