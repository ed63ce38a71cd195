import pytest
import torch
from dmlbench_plugins.backbones.conv4 import Conv4
from dmlbench_plugins.backbones.grey_pixels import GreyPixels
from dmlbench_plugins.backbones.identity import IdentityHead
from dmlbench_plugins.backbones.linear import LinearHead
from torch import nn


def pictures(rows=5, channels=3, size=32, seed=0):
    return torch.randn(rows, channels, size, size, generator=torch.Generator().manual_seed(seed))


def as_printed(conv4):
    """The same layers in the usual order: convolution, BatchNorm, ReLU, maximum; weights are copies."""
    blocks = []
    for convolution, norm, *_ in conv4.blocks:
        same = nn.BatchNorm2d(norm.num_features)
        same.load_state_dict(norm.state_dict())
        plain = nn.Conv2d(convolution.in_channels, convolution.out_channels, 3, padding=1, bias=False)
        plain.load_state_dict(convolution.state_dict())
        blocks.append(nn.Sequential(plain, same, nn.ReLU(), nn.MaxPool2d(2)))
    return nn.Sequential(*blocks, nn.Flatten())


@pytest.fixture
def conv4():
    """A network whose BatchNorm layers have something to do."""

    def make(channels=3, size=32, **options):
        torch.manual_seed(0)
        network = Conv4(channels, size, **options)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
                nn.init.normal_(module.running_mean, std=0.1)
        return network

    return make


@pytest.mark.parametrize("training", [True, False])
def test_conv4_computes_what_the_usual_order_computes(conv4, training):
    network = conv4(width=16).train(training)
    usual = as_printed(network).train(training)
    assert torch.equal(network(pictures()), usual(pictures()))
    assert all(
        torch.equal(ours, theirs) for ours, theirs in zip(network.buffers(), usual.buffers(), strict=True)
    )


def test_conv4_has_the_gradient_of_the_usual_order(conv4):
    network = conv4(width=16)
    usual = as_printed(network)
    network(pictures()).square().sum().backward()
    usual(pictures()).square().sum().backward()
    for ours, theirs in zip(network.parameters(), usual.parameters(), strict=True):
        assert ours.grad.norm() > 0
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("channels", "size", "width", "expected"),
    [(1, 28, 64, 64), (3, 32, 64, 256), (3, 32, 16, 64), (3, 84, 32, 800), (1, 16, 8, 8)],
)
def test_conv4_says_how_wide_its_feature_is(channels, size, width, expected):
    network = Conv4(channels, size, width=width).eval()
    with torch.no_grad():
        features = network(pictures(2, channels, size))
    assert network.feature_dim == expected
    assert features.shape == (2, expected)


def test_conv4_has_four_blocks_of_64_channels_without_biases():
    convolutions = [module for module in Conv4(1, 28).modules() if isinstance(module, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [(1, 64), (64, 64), (64, 64), (64, 64)]
    assert all(c.bias is None for c in convolutions)


def test_conv4_keeps_channels_last(conv4):
    network = conv4(width=16).eval()
    with torch.no_grad():
        expected = network(pictures())
        network.to(memory_format=torch.channels_last)
        maps = network.blocks(pictures().to(memory_format=torch.channels_last))
        features = network(pictures().to(memory_format=torch.channels_last))
    assert maps.shape[2:] == (2, 2)
    assert maps.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_grey_pixels_are_block_means_without_their_mean():
    picture = torch.zeros(1, 3, 4, 4)
    picture[0, :, :2, :2] = 1  # white in the upper left
    picture[0, 0, 2:, 2:] = 3  # red in the lower right: grey 1
    features = GreyPixels(side=2)(picture)
    assert features.tolist() == [[0.5, -0.5, -0.5, 0.5]]


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_grey_pixels_have_one_width_for_every_picture(channels, size):
    backbone = GreyPixels()
    features = backbone(pictures(4, channels, size))
    assert backbone.feature_dim == 256
    assert features.shape == (4, 256)
    assert features.mean(dim=1).abs().max() < 1e-6
    assert list(backbone.parameters()) == []


def test_grey_pixels_do_not_see_brightness():
    backbone = GreyPixels(side=8)
    assert torch.allclose(backbone(pictures() + 0.7), backbone(pictures()), atol=1e-6)


def test_the_linear_head_is_a_matrix_and_a_bias():
    torch.manual_seed(0)
    head = LinearHead(6, 4)
    features = torch.randn(5, 6)
    assert head.embedding_dim == 4
    expected = features @ head.linear.weight.T + head.linear.bias
    assert torch.allclose(head(features), expected, atol=1e-6)


def test_the_identity_head_returns_the_feature():
    head, features = IdentityHead(6), torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    assert head.embedding_dim == 6
    assert torch.equal(head(features), features)
