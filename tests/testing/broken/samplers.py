"""Samplers with one fault each; what they share draws classes and images with a generator."""

import torch
from torch import nn


def _draw(members, classes, per_class, generator):
    chosen = torch.randperm(len(members), generator=generator)[:classes].tolist()
    places = [torch.randint(len(members[c]), (per_class,), generator=generator) for c in chosen]
    return torch.cat([members[c][p] for c, p in zip(chosen, places, strict=True)])


class NeverTheLast(nn.Module):
    """A class that no batch has: one off."""

    def draw(self, by_class, generator, batch_size):
        return _draw(list(by_class.values())[:-1], batch_size // 4, 4, generator)


class TooMany(nn.Module):
    """One image more than a step has."""

    def draw(self, by_class, generator, batch_size):
        batch = _draw(list(by_class.values()), batch_size // 4, 4, generator)
        return torch.cat([batch, batch[:1]])


class KeepsLeftOut(nn.Module):
    """Draws from all images, also those without a label."""

    def draw(self, num_samples, generator, batch_size):
        return torch.randperm(num_samples, generator=generator)[:batch_size]


class Uneven(nn.Module):
    """Classes of other sizes than its setting says."""

    def __init__(self, *, per_class: int = 4):
        super().__init__()
        self.per_class = per_class

    def draw(self, by_class, generator, batch_size):
        return _draw(list(by_class.values()), batch_size // 4, self.per_class - 1, generator)


class LooksAhead(nn.Module):
    """An iterator remembers where it was; no checkpoint does."""

    def __init__(self, num_samples, batch_size):
        super().__init__()
        self.batches = self._batches(num_samples, batch_size)

    def _batches(self, images, size):
        start = 0
        while True:
            yield torch.arange(start, start + size) % images
            start += size

    def draw(self, by_class):
        batch = next(self.batches)
        return batch[torch.isin(batch, torch.cat(list(by_class.values())))]


class OneLabelNever(nn.Module):
    """Of images with several labels: one label's are left out."""

    def draw(self, train_relevance, generator, batch_size):
        without = (~train_relevance[:, 0]).nonzero().flatten()
        return without[torch.randperm(len(without), generator=generator)[:batch_size]]
