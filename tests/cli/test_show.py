import json

import pytest

from dmlbench.registry.registry import registry


def test_a_loss_shows_what_it_asks_for_and_its_settings(dmlbench):
    done = dmlbench("show", "loss", "multi-similarity")
    assert done.status == 0
    assert "similarity, positives, negatives" in done.out
    for setting in ("alpha", "beta", "base", "epsilon"):
        assert setting in done.out
    assert "Wang et al. 2019" in done.out


@pytest.mark.parametrize("kind", ["loss", "sampler", "miner", "augmenter", "backbone", "dataset", "method"])
def test_every_built_in_can_be_shown(dmlbench, kind):
    for entry in registry().of_kind(kind):
        done = dmlbench("show", kind, entry.full_id)
        if entry.status == "unavailable":
            assert (done.status, done.out) == (2, "")
            assert "try pip install" in done.err
        else:
            assert done.status == 0, done.err
            assert entry.plugin.id in done.out


def test_a_class_shows_what_its_constructor_needs(dmlbench):
    assert "num_classes, embedding_dim" in dmlbench("show", "loss", "proxy-nca").out


@pytest.mark.parametrize(
    ("kind", "name"), [("method", "das"), ("protocol", "zero-shot/v1"), ("task", "emoji")]
)
def test_what_is_data_is_shown_as_json_below_its_name_or_digest(dmlbench, kind, name):
    first, _, rest = dmlbench("show", kind, name).out.partition("\n")
    assert first.startswith("# ")
    assert json.loads(rest)["id"] == name


def test_a_function_in_a_file_can_be_shown(dmlbench, tmp_path):
    (tmp_path / "mine.py").write_text("def my_loss(embeddings, labels, *, margin: float = 0.2): 'Mine.'")
    done = dmlbench("show", "loss", f"{tmp_path}/mine.py:my_loss")
    assert "embeddings, labels" in done.out
    assert "margin" in done.out


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [
        ("loss", "tripplet", "triplet"),
        ("method", "dass", "das"),
        ("track", "emoji-conv4", None),
        ("plugin", "bultin", "builtin"),
    ],
)
def test_an_unknown_name_exits_with_2_and_the_nearest(dmlbench, kind, name, near):
    done = dmlbench("show", kind, name)
    assert (done.status, done.out) == (2, "")
    assert near is None or f"near {near}" in done.err


@pytest.mark.parametrize("name", ["acme-losses", "plugin", "acme-losses:plugin"])
def test_a_plugin_shows_what_it_offers(distribution, installed, dmlbench, name):
    code = """
    from dmlbench.api import LossPlugin, hookimpl

    @hookimpl
    def dmlbench_losses():
        yield LossPlugin(id="one", target="acme_losses:one")
        yield LossPlugin(id="two", target="acme_losses:two")
    """
    installed(distribution("acme-losses", code).site)
    done = dmlbench("show", "plugin", name)
    assert done.out == "acme-losses 0.1, entry point plugin: ok\noffers loss      one, two\n"


def test_a_broken_plugin_shows_its_traceback(distribution, installed, dmlbench):
    installed(distribution("acme-losses", "def inner():\n    1 / 0\ninner()").site)
    done = dmlbench("show", "plugin", "acme-losses")
    assert done.status == 0
    assert "acme-losses 0.1, entry point plugin: broken" in done.out
    assert "in inner" in done.out
