from __future__ import annotations

import hashlib
import os
import pickle

import pytest
import torch
from dmlbench_plugins.backbones.renormalise import Renormalise
from dmlbench_plugins.backbones.weights import (
    checked_file,
    load_by_name,
    load_in_order,
    packaged_file,
    read_state,
)
from torch import nn

from dmlbench.api import DataError, MissingPackageError, UsageError


@pytest.fixture
def saved(tmp_path):
    """Write something as torch does; the file and its digest."""

    def save(content, name="weights.pth"):
        file = tmp_path / name
        torch.save(content, file)
        return file, hashlib.sha256(file.read_bytes()).hexdigest()

    return save


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def test_a_file_without_a_digest_is_answered_with_the_digest(saved):
    file, digest = saved({"a": torch.ones(2)})
    with pytest.raises(UsageError, match="need the digest") as caught:
        checked_file(file, "")
    assert digest in caught.value.way_out


def test_other_bytes_are_refused_and_both_digests_named(saved):
    file, digest = saved({"a": torch.ones(2)})
    with pytest.raises(DataError) as caught:
        checked_file(file, "ab" * 32)
    assert digest in caught.value.message
    assert "ab" * 32 in caught.value.message


def test_a_digest_may_be_written_in_capitals(saved):
    file, digest = saved({"a": torch.ones(2)})
    assert read_state(file, digest.upper())["a"].tolist() == [1, 1]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="No such file") as caught:
        checked_file(tmp_path / "none.pth", "00")
    assert caught.value.place.endswith("none.pth")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap-has-sprung",)


def test_code_in_a_file_is_never_run(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, digest = saved({"a": Trap()})
    with pytest.raises(DataError, match="not a torch file of tensors alone"):
        read_state(file, digest)
    assert not (tmp_path / "trap-has-sprung").exists()
    with pytest.raises(FileNotFoundError):  # the trap works where nobody minds
        pickle.loads(pickle.dumps(Trap()).replace(b"trap-has-sprung", b"no/where/at/all"))


@pytest.mark.parametrize("content", [[1, 2], {"state": {"a": torch.ones(1)}}, torch.ones(2)])
def test_only_tensors_by_name_will_do(saved, content):
    file, digest = saved(content)
    with pytest.raises(DataError, match="something else than tensors by name"):
        read_state(file, digest)


def test_rubbish_is_no_torch_file(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(DataError, match="not a torch file"):
        read_state(file, hashlib.sha256(file.read_bytes()).hexdigest())


@pytest.mark.parametrize("load", [load_by_name, load_in_order])
def test_equal_networks_give_equal_values(network, saved, load):
    given = {
        **{name: torch.full_like(v, 3) for name, v in network.state_dict().items()},
        "fc.bias": torch.ones(2),
    }
    load(network, given, "weights.pth", without=("fc.",))
    assert all(bool((value == 3).all()) for value in network.state_dict().values())


def test_by_position_names_do_not_matter(network):
    given = {f"other.{i}": torch.full_like(v, i) for i, v in enumerate(network.state_dict().values())}
    load_in_order(network, given, "weights.pth", without=())
    assert [value.flatten()[0].item() for value in network.state_dict().values()] == list(range(len(given)))


def test_counters_of_batches_may_be_missing(network):
    given = {name: torch.full_like(v, 3) for name, v in network.state_dict().items() if "tracked" not in name}
    load_by_name(network, given, "weights.pth", without=())
    assert network[1].num_batches_tracked == 0
    assert network[1].running_var.tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("0.weight"), r"lacks '0.weight' \(1 names differ\)"),
        (lambda state: state.update({"2.weight": torch.ones(1)}), "has an unknown '2.weight'"),
        (lambda state: state.update({"0.weight": torch.ones(4, 3, 3, 3)}), r"\(4, 3, 3, 3\).*\(4, 3, 1, 1\)"),
    ],
)
def test_what_does_not_fit_by_name_is_named(network, change, message):
    state = dict(network.state_dict())
    change(state)
    with pytest.raises(DataError, match=message):
        load_by_name(network, state, "weights.pth", without=())


def test_what_does_not_fit_by_position_is_named(network):
    state = dict(network.state_dict())
    with pytest.raises(DataError, match="the file has 6 tensors, the network 7"):
        load_in_order(network, {k: v for k, v in state.items() if k != "0.bias"}, "w", without=())
    with pytest.raises(DataError, match=r"'0\.bias' of the network"):
        load_in_order(network, {**state, "0.bias": torch.ones(5)}, "w", without=())


def test_a_package_that_is_not_installed_is_named_with_its_extra():
    with pytest.raises(MissingPackageError, match="no-such-model") as caught:
        packaged_file("no_such_model", "models/x.pth", "efficientnet-lite")
    assert caught.value.way_out == 'pip install "dmlbench[efficientnet-lite]"'


def test_a_package_without_the_file_is_named():
    with pytest.raises(DataError, match=r"torch has no file models/x\.pth"):
        packaged_file("torch", "models/x.pth", "efficientnet-lite")


def test_inputs_of_a_track_become_the_networks_own():
    pixels = torch.tensor([0.0, 0.25, 1.0]).view(1, 3, 1, 1)
    own = Renormalise((0.1, 0.2, 0.3), (0.5, 0.25, 0.2))((pixels - 0.5) / 0.5)
    assert own.flatten().tolist() == pytest.approx([(0 - 0.1) / 0.5, (0.25 - 0.2) / 0.25, (1 - 0.3) / 0.2])
    assert Renormalise((0.1,), (0.5,)).state_dict() == {}
