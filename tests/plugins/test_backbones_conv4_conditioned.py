import pytest
import torch
from dmlbench_plugins.backbones.conv4 import Conv4
from dmlbench_plugins.backbones.conv4_conditioned import Conv4Conditioned


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Conv4Conditioned(3, 32, width=16, reduction=4).eval()


@pytest.fixture
def pictures():
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


SKETCHES, PHOTOS = torch.zeros(6, dtype=torch.int64), torch.ones(6, dtype=torch.int64)


def test_at_first_both_domains_have_one_encoder(network, pictures):
    assert torch.equal(network(pictures, SKETCHES), network(pictures, PHOTOS))


def test_each_image_follows_its_own_domain_once_the_tag_is_learnt(network, pictures):
    with torch.no_grad():
        for unit in network.units:
            unit.tag.normal_()
    mixed = torch.tensor([0, 1, 1, 0, 0, 1])
    found, sketches, photos = (network(pictures, domain) for domain in (mixed, SKETCHES, PHOTOS))
    assert not torch.allclose(sketches, photos, atol=1e-3)
    assert torch.allclose(found, torch.where(mixed[:, None] == 1, photos, sketches), atol=1e-6)


def test_the_unit_is_the_formula(network, pictures):
    unit = network.units[0]
    with torch.no_grad():
        unit.tag.normal_()
    maps = network.blocks[0](pictures)
    domain = torch.tensor([0, 1, 0, 1, 0, 1])
    for row, (u, m) in enumerate(zip(maps, domain.tolist(), strict=True)):
        means = torch.stack([channel.sum() / channel.numel() for channel in u])
        hidden = (unit.squeeze.weight @ means + unit.squeeze.bias).clamp(min=0)
        scale = 1 / (1 + (-(unit.excite.weight @ hidden + unit.excite.bias + unit.tag * m)).exp())
        assert torch.allclose(unit(maps, domain)[row], u * scale[:, None, None], atol=1e-6)


def test_with_open_units_it_is_conv4(network, pictures):
    plain = Conv4(3, 32, width=16).eval()
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("units")})
    with torch.no_grad():
        for unit in network.units:
            unit.excite.weight.zero_()
            unit.excite.bias.fill_(100.0)
    assert torch.allclose(network(pictures, PHOTOS), plain(pictures), atol=1e-6)


def test_the_tag_learns(network, pictures):
    network.train()
    network(pictures, PHOTOS).square().sum().backward()
    assert all(unit.tag.grad.norm() > 0 for unit in network.units)
    network.zero_grad()
    network(pictures, SKETCHES).square().sum().backward()
    assert all(unit.tag.grad.norm() == 0 for unit in network.units)
