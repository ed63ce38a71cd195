from __future__ import annotations

import hashlib

import pytest
import torch
from dmlbench_plugins.backbones.bn_inception import BnInception

from dmlbench.api import DataError

GOOGLE = 11_295_240
"""Weights of the published network with its classifier of 1,000 classes."""


def images(rows=2, channels=3, side=64):
    return torch.rand(rows, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def saved(tmp_path):
    """Weights in the published form: statistics with a leading axis of 1, and a classifier."""
    torch.manual_seed(1)
    network = BnInception().eval()
    state = {
        name: value[None] if "_bn." in name else value
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    file = tmp_path / "weights.pth"
    torch.save({**state, "last_linear.weight": torch.ones(3, 1024), "last_linear.bias": torch.ones(3)}, file)
    return network, {"weights": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def test_it_has_as_many_weights_as_published():
    with torch.device("meta"):
        built = BnInception()
    assert sum(p.numel() for p in built.parameters()) + 1024 * 1000 + 1000 == GOOGLE


def test_weights_are_named_as_published():
    with torch.device("meta"):
        names = {name: tuple(value.shape) for name, value in BnInception().state_dict().items()}
    assert names["conv1_7x7_s2.weight"] == (64, 3, 7, 7)
    assert names["conv2_3x3_reduce_bn.running_mean"] == (64,)
    assert names["inception_3a_double_3x3_1.weight"] == (96, 64, 3, 3)
    assert names["inception_4e_double_3x3_2.bias"] == (256,)
    assert names["inception_5b_pool_proj.weight"] == (128, 1024, 1, 1)
    assert "inception_3c_1x1.weight" not in names
    assert "inception_4e_pool_proj.weight" not in names


def test_maps_are_as_large_and_as_deep_as_published():
    network = BnInception().eval()
    seen = {}
    for name in ("conv2_3x3", "inception_3a_3x3", "inception_4a_3x3", "inception_5a_3x3"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, _given, maps, name=name: seen.__setitem__(name, maps.shape[-1])
        )
    with torch.no_grad():
        assert network(images(rows=1, side=224)).shape == (1, 1024)
    assert list(seen.values()) == [56, 28, 14, 7]


def test_a_file_of_weights_gives_the_network_that_wrote_it_on_blue_green_and_red_of_255(saved):
    network, settings = saved
    loaded = BnInception(**settings).eval()
    pixels = (images() / 2 + 0.5) * 255
    blue_first = pixels.flip(1) - torch.tensor([104.0, 117, 128]).view(3, 1, 1)
    with torch.no_grad():
        expected = network(blue_first.flip(1))  # without weights it takes what it is given, red first
        assert torch.allclose(loaded(images()), expected, rtol=1e-3, atol=1e-3)
        assert not torch.allclose(loaded(images().flip(1)), expected, rtol=1e-2, atol=1e-2)


def test_weights_of_another_network_are_refused(saved, tmp_path):
    file = tmp_path / "other.pth"
    torch.save({"conv1_7x7_s2.weight": torch.ones(2)}, file)
    with pytest.raises(DataError, match="the file lacks"):
        BnInception(weights=str(file), sha256=hashlib.sha256(file.read_bytes()).hexdigest())


def test_the_feature_is_the_mean_or_the_largest_of_a_channel():
    torch.manual_seed(0)
    mean, largest = BnInception().eval(), BnInception(pool="max").eval()
    largest.load_state_dict(mean.state_dict())
    with torch.no_grad():
        assert (largest(images(side=96)) >= mean(images(side=96))).all()
        # one place is left of 32 pixels
        assert torch.equal(largest(images(side=32)), mean(images(side=32)))


def test_grey_images_are_three_equal_channels():
    torch.manual_seed(0)
    network = BnInception().eval()
    with torch.no_grad():
        assert torch.equal(network(images(channels=1)), network(images(channels=1).repeat(1, 3, 1, 1)))


def test_the_rate_factor_covers_every_weight_once():
    network = BnInception(rate_factor=0.1)
    (group,) = network.param_groups()
    assert group.rate_factor == 0.1
    assert [id(p) for p in group.parameters] == [id(p) for p in network.parameters()]
