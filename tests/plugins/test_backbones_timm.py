"""Against timm and torchvision, where they are installed. Where not, what their absence looks like."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import warnings

import pytest
import torch
from dmlbench_plugins import timm_backbones
from dmlbench_plugins.backbones import timm as ours
from dmlbench_plugins.backbones.efficientnet_lite import (
    EfficientNetLite0,
    EfficientNetLite1,
    EfficientNetLite2,
)
from dmlbench_plugins.backbones.resnet import ResNet18, ResNet50

from dmlbench.api import DataError, MissingPackageError
from dmlbench.registry.registry import load_target
from dmlbench.registry.report import Entry

OFFERED = list(timm_backbones.dmlbench_backbones())


@pytest.fixture(scope="module")
def timm():
    """The package; operators that torchvision's compiled part would declare are declared without it."""
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("timm")
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
        _forget("torchvision", "timm")
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        timm = importlib.import_module("timm")
        timm.operators = library  # they live as long as the module
        return timm


def _forget(*packages):
    for name in [name for name in sys.modules if name.split(".")[0] in packages]:
        del sys.modules[name]


def images(side=64, channels=3):
    return torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("side", [64, 75])
@pytest.mark.parametrize(
    ("network", "name"),
    [
        (EfficientNetLite0, "tf_efficientnet_lite0"),
        (EfficientNetLite1, "tf_efficientnet_lite1"),
        (EfficientNetLite2, "tf_efficientnet_lite2"),
    ],
)
def test_efficientnet_lite_is_timms(timm, network, name, side):
    torch.manual_seed(0)
    own, theirs = network(pretrained=False).eval(), timm.create_model(name, num_classes=0).eval()
    _make_norms_matter(own)
    assert [v.shape for v in own.state_dict().values()] == [v.shape for v in theirs.state_dict().values()]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), own.state_dict().values(), strict=True)))
    with torch.no_grad():
        assert torch.allclose(own(images(side)), theirs(images(side)), atol=1e-4)


@pytest.mark.parametrize(("network", "name"), [(ResNet18, "resnet18"), (ResNet50, "resnet50")])
def test_resnets_are_torchvisions(timm, network, name):
    models = importlib.import_module("torchvision.models")
    torch.manual_seed(0)
    own, theirs = network().eval(), getattr(models, name)().eval()
    _make_norms_matter(own)
    theirs.fc = torch.nn.Identity()
    theirs.load_state_dict(own.state_dict())
    with torch.no_grad():
        assert torch.allclose(own(images()), theirs(images()), rtol=1e-4, atol=1e-4)


def _make_norms_matter(network):
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)


@pytest.mark.parametrize("plugin", OFFERED, ids=lambda plugin: plugin.id)
def test_each_says_its_width_and_takes_grey_images(timm, plugin):
    network = load_target(Entry(plugin, "dmlbench", "0"))(64).eval()
    with torch.no_grad():
        assert network(images()).shape == (2, network.feature_dim)
        assert network(images(channels=1)).shape == (2, network.feature_dim)


@pytest.mark.parametrize("network", [ours.MobileNetV3Small, ours.VitTiny])
def test_a_file_of_weights_is_loaded_and_its_classifier_left_out(timm, network, tmp_path):
    file = tmp_path / "weights.pth"
    torch.manual_seed(0)
    theirs = timm.create_model(network.name, **({"img_size": 64} if network.fits_size else {})).eval()
    torch.save(theirs.state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    own = network(64, weights=str(file), sha256=digest, rate_factor=0.5).eval()
    theirs.reset_classifier(0)
    with torch.no_grad():
        assert torch.allclose(own(images()), theirs(own.prepare(images())), atol=1e-5)
    assert own.param_groups()[0].rate_factor == 0.5
    assert "state_dict" not in own.network.pretrained_cfg
    with pytest.raises(DataError, match="not the weights of timm's convnext_tiny"):
        ours.ConvNextTiny(64, weights=str(file), sha256=digest)


def test_position_embeddings_follow_the_image_size(timm, tmp_path):
    file = tmp_path / "weights.pth"
    torch.save(timm.create_model("vit_tiny_patch16_224").state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    network = ours.VitTiny(64, weights=str(file), sha256=digest)
    assert network.network.pos_embed.shape == (1, 16 + 1, 192)


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (ImportError("No module named 'torchvision'"), 'pip install "dmlbench[timm]"'),
        (
            RuntimeError("operator torchvision::nms does not exist"),
            "torchvision that belongs to the installed",
        ),
    ],
)
def test_an_import_that_fails_is_a_missing_package(monkeypatch, error, way_out):
    class Refuses:
        def find_spec(self, name, path=None, target=None):
            if name == "timm":
                raise error

    for name in [name for name in sys.modules if name.split(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Refuses(), *sys.meta_path])
    with pytest.raises(MissingPackageError, match=str(error)) as caught:
        ours.ResNet50(64)
    assert way_out in caught.value.way_out


def test_without_timm_they_are_listed_as_unavailable(dmlbench, monkeypatch):
    from dmlbench.registry.registry import registry

    monkeypatch.setitem(sys.modules, "timm", None)
    registry.cache_clear()
    try:
        (entry,) = [e for e in registry().of_kind("backbone") if e.full_id == "timm:convnext-tiny"]
        assert entry.status == "unavailable"
        assert 'pip install "dmlbench[timm]"' in entry.detail
    finally:
        registry.cache_clear()
