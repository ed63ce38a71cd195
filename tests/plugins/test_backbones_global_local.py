import pytest
import torch
from dmlbench_plugins.backbones.conv4 import Conv4
from dmlbench_plugins.backbones.conv4_maps import Conv4Maps
from dmlbench_plugins.backbones.global_local import GlobalLocal, SecondOrderAttention

from dmlbench.api import UsageError
from dmlbench.errors import ContractError
from dmlbench.spec.component import Component
from dmlbench.spec.method import Term
from dmlbench.train.embedding import embed_training_images

from ..train.helpers import saved, train
from .counting import Work

TOKENS = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]], dtype=torch.float64)


def attention(channels=2, *, out=True, zeta=1.0):
    """With the identity for q, k, v and, if `out`, o."""
    block = SecondOrderAttention(channels, zeta).double()
    with torch.no_grad():
        for layer in (block.query, block.key, block.value):
            layer.weight.copy_(torch.eye(channels))
        block.out.weight.copy_(torch.eye(channels) * out)
    return block


def pooled(tokens):
    return (tokens.mean(dim=1) + tokens.amax(dim=1))[0].tolist()


def maps(rows=3, local=4, coarse=2, channels=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sides = {"local": local, "global": coarse}
    return {
        name: torch.randn(rows, channels, side, side, generator=generator, dtype=torch.float64)
        for name, side in sides.items()
    }


def head(**options):
    torch.manual_seed(0)
    found = GlobalLocal({"local": 6, "global": 6}, 8, **options).double()
    for block in found.attention.values():
        torch.nn.init.orthogonal_(block.out.weight)
    return found


# ---- attention


def test_known_attention():
    refined = attention()(TOKENS)
    expected = [1.7310585786, 0.5378828427, 0.0179862100, 3.9640275801]
    assert refined.flatten().tolist() == pytest.approx(expected, rel=0, abs=1e-10)
    assert pooled(refined) == pytest.approx([2.6055809729, 6.2149827915], rel=0, abs=1e-10)


def test_logits_are_not_divided_by_a_root_of_the_width():
    shares = attention()(TOKENS)[0, 0] - TOKENS[0, 0]
    assert (shares[0].item(), shares[1].item() / 2) == pytest.approx((0.7310585786, 0.2689414214), abs=1e-10)
    divided = attention(zeta=2**-0.5)(TOKENS)[0, 0] - TOKENS[0, 0]
    assert divided[0].item() == pytest.approx(0.6697615493, abs=1e-10)


def test_it_starts_as_the_plain_map():
    assert torch.equal(SecondOrderAttention(2, 1.0).double()(TOKENS), TOKENS)
    assert pooled(attention(out=False)(TOKENS)) == [1.5, 3.0]


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_a_plain_loop(seed):
    torch.manual_seed(seed)
    block = SecondOrderAttention(3, 0.7).double()
    torch.nn.init.orthogonal_(block.out.weight)
    tokens = torch.randn(2, 5, 3, dtype=torch.float64)
    found = block(tokens)
    for row in range(2):
        q, k, v = (layer(tokens[row]).tolist() for layer in (block.query, block.key, block.value))
        for place in range(5):
            logits = [0.7 * sum(a * b for a, b in zip(q[place], other, strict=True)) for other in k]
            share = torch.tensor(logits, dtype=torch.float64).softmax(dim=0).tolist()
            mixed = [sum(s * value[c] for s, value in zip(share, v, strict=True)) for c in range(3)]
            expected = tokens[row, place] + block.out(torch.tensor(mixed, dtype=torch.float64))
            assert torch.allclose(found[row, place], expected, atol=1e-12)


def test_gradients_agree_with_finite_differences():
    given = maps()
    inputs = [part.requires_grad_() for part in given.values()]
    whole = head()
    assert torch.autograd.gradcheck(
        lambda *parts: whole(dict(zip(given, parts, strict=True))), tuple(inputs), fast_mode=True
    )


# ---- the head


def test_the_order_of_places_and_the_size_of_the_map_do_not_matter():
    given, whole = maps(), head()
    moved = {name: part.flatten(2).flip(2).unflatten(2, part.shape[2:]) for name, part in given.items()}
    assert torch.allclose(whole(moved), whole(given), atol=1e-12)
    assert whole(maps(local=7, coarse=3)).shape == (3, 8)


def test_each_map_has_its_share_and_a_row_does_not_see_the_others():
    given, whole = maps(), head()
    other = {"local": given["local"], "global": given["global"] + 1}
    assert torch.equal(whole(other)[:, :4], whole(given)[:, :4])
    assert not torch.allclose(whole(other)[:, 4:], whole(given)[:, 4:])
    alone = {name: part[:1] for name, part in given.items()}
    assert torch.allclose(whole(alone), whole(given)[:1], atol=1e-14)


def test_one_map_alone_has_the_whole_embedding_and_odd_shares_add_up():
    whole = head(maps=("global",))
    assert list(whole.attention) == ["global"]
    assert whole(maps()).shape == (3, 8)
    three = GlobalLocal({"a": 2, "b": 3, "c": 4}, 8)
    assert [layer.out_features for layer in three.projection.values()] == [3, 3, 2]


def test_a_map_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="no map 'middle'"):
        head(maps=("middle",))


def test_memory_at_the_published_size_is_that_of_the_maps_and_the_attention():
    """14 x 14 and 7 x 7 places of 1024 and 2048 channels; shapes alone."""
    with torch.device("meta"):
        whole = GlobalLocal({"local": 1024, "global": 2048}, 512)
        given = {"local": torch.randn(120, 1024, 14, 14), "global": torch.randn(120, 2048, 7, 7)}
        with Work() as work:
            whole(given).sum().backward()
    assert work.elements <= 120 * 14 * 14 * 1024  # the local map; its logits are a fifth of it
    count = sum(p.numel() for block in whole.attention.values() for p in block.parameters())
    assert count == 4 * (1024**2 + 2048**2 + 1024 + 2048)


# ---- the backbone


def test_the_maps_are_those_of_conv4():
    torch.manual_seed(0)
    shown = Conv4Maps(1, 32, width=8)
    plain = Conv4(1, 32, width=8)
    plain.load_state_dict(shown.state_dict())
    images = torch.randn(4, 1, 32, 32)
    features, found = shown(images)
    assert torch.equal(features, plain(images))
    assert {name: tuple(part.shape) for name, part in found.items()} == {
        "local": (4, 8, 4, 4),
        "global": (4, 8, 2, 2),
    }
    assert torch.equal(found["global"].flatten(1), features)
    assert shown.feature_maps == {"local": 8, "global": 8}


def test_the_local_map_is_not_changed_by_the_block_behind_it():
    shown = Conv4Maps(1, 32, width=8)
    images = torch.randn(4, 1, 32, 32)
    local = shown(images)[1]["local"]
    assert torch.equal(local, shown.blocks[2](shown.blocks[1](shown.blocks[0](images))))


@pytest.mark.parametrize("cut", ["local", "global"])
def test_gradients_enter_where_the_map_is_taken(cut):
    backbone, whole = Conv4Maps(1, 32, width=6), head().float()
    found = backbone(torch.randn(4, 1, 32, 32))[1]
    part = slice(0, 4) if cut == "local" else slice(4, 8)
    whole(found)[:, part].sum().backward()
    third, fourth = (backbone.blocks[i][0].weight.grad for i in (2, 3))
    assert third.abs().max() > 0
    assert bool(fourth.any()) == (cut == "global")


# ---- in the loop


def recipe(method, **changes):
    parts = {
        "terms": {
            "loss": Term(component="dmlbench:multi-similarity-signed"),
            "proxies": Term(component="dmlbench:proxy-anchor", weight=changes.pop("weight", 0.03)),
        },
        "backbone": Component(component="dmlbench:conv4-maps", settings={"width": 6}),
        "heads": {"main": Component(component="dmlbench:global-local")},
    }
    return method(**(parts | changes))


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_resumed_run_equals_an_uninterrupted_one(cut, make, method, weights):
    whole, first, resumed = (make(recipe(method)) for _ in range(3))
    train(whole, 6)
    train(first, cut)
    resumed.load_state_dict(saved(first))
    train(resumed, 6 - cut)
    assert torch.equal(weights(whole), weights(resumed))


def test_proxies_of_no_weight_are_the_pair_loss_alone_bit_for_bit(make, method, weights):
    pairs = {"loss": Term(component="dmlbench:multi-similarity-signed")}
    alone, weightless, both = (
        make(r) for r in (recipe(method, terms=pairs), recipe(method, weight=0), recipe(method))
    )
    for trainer in (alone, weightless, both):
        train(trainer, 5)
    assert torch.equal(weights(alone), weights(weightless))
    assert not torch.equal(weights(alone), weights(both))


def test_embeddings_do_not_depend_on_the_images_beside(make, method):
    trainer = make(recipe(method))
    train(trainer, 3)
    together = embed_training_images(trainer.recipe, trainer.images, torch.arange(9))
    alone = embed_training_images(trainer.recipe, trainer.images, torch.tensor([4]))
    assert torch.allclose(together[4:5], alone, atol=1e-5)


def test_a_backbone_without_maps_is_refused(make, method):
    with pytest.raises(ContractError, match="map_widths"):
        make(recipe(method, backbone=None))


def test_who_makes_embeddings_of_features_is_refused_beside_it(make, method, offer):
    def from_features(features, head):
        return head(features).square().mean()

    with pytest.raises(ContractError, match="a main head that reads features"):
        make(recipe(method, terms={"loss": Term(component=offer("loss", from_features))}))
