"""Losses that remember, move or forget what they should not."""

import torch
from torch import nn


class Attribute(nn.Module):
    """Counts in a plain attribute."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, embeddings):
        self.seen += 1
        return embeddings.pow(4).sum() / self.seen


def _make():
    seen = 0

    def closure(embeddings):  # counts in a closure
        nonlocal seen
        seen += 1
        return embeddings.pow(4).sum() / seen

    return closure


closure = _make()
_seen = [0]


def global_state(embeddings):  # counts in a global
    _seen[0] += 1
    return embeddings.pow(4).sum() / _seen[0]


class LazyBuffer(nn.Module):
    """Its buffer takes its shape from the first batch."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(0))

    def forward(self, embeddings):
        if len(self.mean) == 0:
            self.mean = torch.zeros_like(embeddings[0].detach())
        self.mean += 0.1 * (embeddings.detach().mean(dim=0) - self.mean)
        return (embeddings - self.mean).pow(4).sum()


def _zero(module, keys):
    module.steps.zero_()


class ResetOnLoad(nn.Module):
    """Loading sets it back, and only epochs later does anything depend on it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))
        self.register_load_state_dict_post_hook(_zero)

    def forward(self, embeddings):
        self.steps += 1
        return embeddings.pow(4).sum() * (1 if self.steps < 1000 else 2)


class NobodySteps(nn.Module):
    """A parameter that is in no graph."""

    def __init__(self, embedding_dim):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(embedding_dim))

    def forward(self, embeddings):
        return embeddings.pow(4).sum()


class InAList(nn.Module):
    """A parameter where `parameters()` does not look."""

    def __init__(self, embedding_dim):
        super().__init__()
        self.scales = [nn.Parameter(torch.ones(embedding_dim))]

    def forward(self, embeddings):
        return (embeddings * self.scales[0]).pow(4).sum()


class MovesTheTrunk(nn.Module):
    """Its own objective steps somebody else's network."""

    def forward(self, embeddings):
        return embeddings.pow(4).sum()

    def after_step(self, parameters):
        for parameter in parameters.values():
            parameter.data.mul_(0.999)


class LeavesGradients(nn.Module):
    """Differentiates by itself, through the head."""

    def forward(self, embeddings):
        return embeddings.pow(4).sum()

    def before_main(self, features, head):
        head(features).square().mean().backward()
