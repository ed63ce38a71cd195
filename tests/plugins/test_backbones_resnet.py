from __future__ import annotations

import hashlib
import json

import pytest
import torch
from dmlbench_plugins.backbones.resnet import MEAN, STD, ResNet18, ResNet50

from dmlbench.api import DataError, UsageError


@pytest.fixture
def saved(tmp_path):
    """Weights of a narrow ResNet-18 with a classifier: the network and the settings that load them."""

    def save(**options):
        torch.manual_seed(1)
        network = ResNet18(width=8, **options)
        file = tmp_path / "weights.pth"
        torch.save({**network.state_dict(), "fc.weight": torch.ones(3, 64), "fc.bias": torch.ones(3)}, file)
        return network, {"weights": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}

    return save


def images(rows=3, channels=3, side=32):
    return torch.rand(rows, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    ("network", "weights", "tensors"), [(ResNet18, 11_689_512, 122), (ResNet50, 25_557_032, 320)]
)
def test_they_have_as_many_weights_as_published(network, weights, tensors):
    with torch.device("meta"):
        built = network()
    classifier = built.feature_dim * 1000 + 1000
    assert sum(p.numel() for p in built.parameters()) + classifier == weights
    assert len(built.state_dict()) + 2 == tensors


def test_weights_are_named_as_published():
    with torch.device("meta"):
        names = {name: tuple(value.shape) for name, value in ResNet50().state_dict().items()}
    assert names["conv1.weight"] == (64, 3, 7, 7)
    assert names["layer1.0.downsample.0.weight"] == (256, 64, 1, 1)
    assert names["layer3.5.conv2.weight"] == (256, 256, 3, 3)
    assert names["layer4.2.bn3.running_var"] == (2048,)
    assert "layer1.1.downsample.0.weight" not in names


@pytest.mark.parametrize(("stem", "side"), [("large", 7), ("small", 28)])
def test_the_stem_says_how_far_images_are_reduced(stem, side):
    network = ResNet18(width=4, stem=stem).eval()
    reached = []
    network.layer1.register_forward_hook(lambda _module, _given, maps: reached.append(maps.shape[-1]))
    with torch.no_grad():
        features = network(images(side=28))
    assert reached == [side]
    assert features.shape == (3, network.feature_dim) == (3, 32)


def test_a_file_of_weights_gives_the_network_that_wrote_it(saved):
    network, settings = saved()
    loaded = ResNet18(width=8, **settings).eval()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    pixels = images() / 2 + 0.5
    with torch.no_grad():
        expected = network.eval()((pixels - mean) / std)
        assert torch.allclose(loaded(images()), expected, atol=1e-5)
        assert not torch.allclose(network(images()), expected, atol=1e-2)


def test_weights_of_another_network_are_refused(saved):
    _, settings = saved()
    with pytest.raises(DataError, match=r"'conv1\.weight' has the shape \(8, 3, 7, 7\)"):
        ResNet18(**settings)
    with pytest.raises(DataError, match="names differ"):
        ResNet50(**settings)


def test_weights_without_their_digest_are_refused(saved):
    _, settings = saved()
    with pytest.raises(UsageError, match="need the digest") as caught:
        ResNet18(width=8, weights=settings["weights"])
    assert settings["sha256"] in caught.value.way_out


def test_grey_images_are_three_equal_channels():
    torch.manual_seed(0)
    network = ResNet18(width=4).eval()
    with torch.no_grad():
        assert torch.equal(network(images(channels=1)), network(images(channels=1).repeat(1, 3, 1, 1)))


def test_the_rate_factor_covers_every_weight_once():
    network = ResNet18(width=4, rate_factor=0.1)
    (group,) = network.param_groups()
    assert group.rate_factor == 0.1
    assert [id(p) for p in group.parameters] == [id(p) for p in network.parameters()]


@pytest.mark.slow
def test_a_run_trains_from_a_file_and_records_its_digest(project, dmlbench, saved):
    _, settings = saved(stem="small")
    path = project / "local" / "tracks" / "tiny.toml"
    given = f'weights = "weights.pth", sha256 = "{settings["sha256"]}", width = 8, stem = "small"'
    path.write_text(
        path.read_text().replace(
            '{ component = "dmlbench:conv4", settings = { width = 8 } }',
            f'{{ component = "dmlbench:resnet18", settings = {{ {given}, rate_factor = 0.5 }} }}',
        )
    )
    done = dmlbench("run", "contrastive", "--task", "tiny", "--profile", "smoke", "--json")
    assert done.status == 0, done.err
    (record,) = json.loads(done.out)
    (backbone,) = [used for used in record["components"] if used["role"] == "backbone"]
    assert backbone["settings"]["sha256"] == settings["sha256"]
    assert backbone["settings"]["weights"] == "weights.pth"

    (project / "weights.pth").write_bytes(b"something else")
    refused = dmlbench("run", "multi-similarity", "--task", "tiny", "--profile", "smoke")
    assert refused.status == 2
    assert "not the weights that were asked for" in refused.err
    assert "Traceback" not in refused.err
