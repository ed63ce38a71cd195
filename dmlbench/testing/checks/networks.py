"""What backbones and heads promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dmlbench.testing.case import CheckFailed
from dmlbench.testing.catalogue import NETWORKS, promise
from dmlbench.testing.network import Network
from dmlbench.testing.watch import same

if TYPE_CHECKING:
    from dmlbench.testing.subject import Subject


@promise(
    "network/width",
    NETWORKS,
    "Heads, proxies and memories are made to the width that a network states before it has seen an image.",
)
def width(subject: Subject) -> None:
    network = Network(subject)
    out = network(network.inputs())
    if out.ndim != 2 or out.shape[1] != network.width:
        raise CheckFailed(f"states a width of {network.width} and returns shape {tuple(out.shape)}")


@promise(
    "network/rows",
    NETWORKS,
    "Labels are matched to rows by place: a dropped row gives every later one another picture's label.",
)
def rows(subject: Subject) -> None:
    network = Network(subject)
    given = network.inputs()
    if len(out := network(given)) != len(given):
        raise CheckFailed(f"makes {len(out)} rows of {len(given)}")


@promise(
    "network/one-row",
    NETWORKS,
    "The last chunk of an evaluation may hold one image.",
    after=("network/finite",),
)
def one_row(subject: Subject) -> None:
    network = Network(subject, training=False)
    out = network(network.inputs()[:1])
    if out.shape != (1, network.width):
        raise CheckFailed(f"makes a tensor of shape {tuple(out.shape)} of one image")
    _refuse_not_finite(out)


@promise(
    "network/finite",
    NETWORKS,
    "The least that a network owes: finite features and gradients in fp32.",
    after=("network/rows", "network/width"),
)
def finite(subject: Subject) -> None:
    _finite(Network(subject))


@promise(
    "network/bf16",
    NETWORKS,
    "Under autocast numbers keep 8 bits and half of all operations change their type; nothing may overflow.",
    after=("network/finite",),
)
def bf16(subject: Subject) -> None:
    _finite(Network(subject, numerics="cpu-bf16"))


@promise(
    "network/row-by-row",
    NETWORKS,
    "An embedding that depends on the other images of its chunk is another one in another order.",
    after=("network/finite", "train/same-bits"),
)
def row_by_row(subject: Subject) -> None:
    network = Network(subject, training=False)
    given = network.inputs()
    together, apart = network(given).detach(), network(given.flip(0)[:3]).detach().flip(0)
    scale = float(together.abs().max()) or 1.0
    if not torch.allclose(together[-3:] / scale, apart / scale, atol=1e-4):
        raise CheckFailed("in evaluation a row depends on the rows beside it")


@promise(
    "network/evaluation",
    NETWORKS,
    "Scoring on the way must leave no trace: a statistic moved by validation images is training on them.",
    after=("network/finite",),
)
def evaluation(subject: Subject) -> None:
    network = Network(subject, training=False)
    before = {name: _copy(value) for name, value in network.module.state_dict().items()}
    network(network.inputs())
    for name, value in network.module.state_dict().items():
        if not _equal(before[name], value):
            raise CheckFailed(f"{name} changes in evaluation mode")


@promise(
    "network/layout",
    NETWORKS,
    "Rows may be slices of larger tensors, and images come channels-last: `view` refuses both.",
    after=("network/finite", "train/same-bits"),
)
def layout(subject: Subject) -> None:
    network = Network(subject, training=False)
    given = network.inputs()
    spread = given.repeat_interleave(2, dim=0)[::2]
    plain, other = network(given).detach(), network(spread).detach()
    scale = float(plain.abs().max()) or 1.0
    if not torch.allclose(plain / scale, other / scale, atol=1e-4):
        raise CheckFailed("gives other values for the same rows in another memory layout")


@promise(
    "network/channels",
    {"backbone"},
    "Tracks have grey and coloured pictures, and a backbone is told which when it is built.",
    after=("network/finite",),
)
def channels(subject: Subject) -> None:
    network = Network(subject, channels=1, training=False)
    _refuse_not_finite(network(network.inputs()))


def _finite(network: Network) -> None:
    given = network.inputs().requires_grad_()
    out = network(given)
    _refuse_not_finite(out)
    leaves = [given, *(p for p in network.module.parameters() if p.requires_grad)]
    if not out.requires_grad:
        return
    for gradient in torch.autograd.grad(out.float().square().mean(), leaves, allow_unused=True):
        if gradient is not None and not bool(torch.isfinite(gradient).all()):
            raise CheckFailed("the gradient is not finite")


def _refuse_not_finite(out: Tensor) -> None:
    if not bool(torch.isfinite(out.detach()).all()):
        raise CheckFailed("returns numbers that are not finite")


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _equal(one: Any, other: Any) -> bool:
    return same(one, other) if isinstance(one, Tensor) else one == other
