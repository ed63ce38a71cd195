"""Augmenters with one fault each."""

import torch
from torch.nn import functional

from dmlbench.api import NewRows


def _noisy(unit, generator, copies=1):
    noise = torch.randn(copies * len(unit), unit.shape[1], generator=generator)
    return functional.normalize(unit.repeat(copies, 1) + 0.1 * noise, dim=1)


def wrong_width(unit, generator):
    return NewRows(_noisy(unit, generator)[:, :-1], torch.arange(len(unit)))


def source_of_copies(unit, generator):
    """Numbers the new rows instead of saying where each came from."""
    return NewRows(_noisy(unit, generator, copies=2), torch.arange(2 * len(unit)))


def old_rows_too(unit, generator):
    source = torch.arange(len(unit)).repeat(2)
    return NewRows(torch.cat([unit, _noisy(unit, generator)]), source)


def too_long(unit, generator):
    return NewRows(2 * _noisy(unit, generator), torch.arange(len(unit)))


def root_of_zero(unit, generator):
    """Finite rows, no finite gradient."""
    shift = (unit - unit.detach()).square().sum(dim=1, keepdim=True).sqrt()
    return NewRows(_noisy(unit, generator) + shift, torch.arange(len(unit)))
