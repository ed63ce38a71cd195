"""Components that do something unusual and nothing wrong."""

import torch
from torch import nn
from torch.nn import functional

from dmlbench.api import Batch, NewRows, ParamGroup, State, Triplets


def two_parts(heads, domain, labels):
    """Named parts; reads the data set's domain and the embeddings by head."""
    unit = heads["main"]
    same = (labels[:, None] == labels) & (domain[:, None] != domain)
    return {"size": unit.pow(4).sum(), "across": -(unit @ unit.T * same).sum() / len(unit)}


def draws(embeddings, generator):
    """Random weights for its rows."""
    return (embeddings.pow(4).sum(dim=1) * torch.rand(len(embeddings), generator=generator)).sum()


def after_the_teacher(embeddings, teacher):
    """Distances as the teacher has them."""
    towards = functional.normalize(teacher, dim=1)
    return (embeddings @ embeddings.T - towards @ towards.T).square().mean()


def in_the_ball(ball, labels):
    same = labels[:, None] == labels
    return ((ball[:, None] - ball).square().sum(dim=2) * same).sum() / len(ball)


def weighted(embeddings, weights):
    return (embeddings.pow(4).sum(dim=1) * weights).sum() / len(weights)


def by_role(embeddings, is_first):
    return (embeddings.pow(4).sum(dim=1) * is_first).sum()


class Critic(nn.Module):
    """A network with an objective of its own, held in the first step; and a running mean."""

    def __init__(self, embedding_dim, num_classes):
        super().__init__()
        self.critic = nn.Linear(embedding_dim, num_classes)
        self.state = State(past=[])

    def param_groups(self):
        return [ParamGroup([self.critic], objective="critic", optimiser="sgd", rate=0.1)]

    def hold(self, step):
        return {"critic"} if step == 0 else set()

    def before_main(self, embeddings, labels):
        yield "critic", functional.cross_entropy(self.critic(embeddings), labels)

    def forward(self, embeddings, labels):
        value = -functional.cross_entropy(self.critic(embeddings), labels) * (1 + sum(self.state.past))
        self.state.past = [*self.state.past[-1:], float(embeddings.detach().abs().mean())]
        return value


class Learnt(nn.Module):
    """A combiner with a weight a term."""

    def __init__(self, term_names):
        super().__init__()
        self.logs = nn.Parameter(torch.zeros(len(term_names)))

    def forward(self, parts, valid):
        values = torch.stack([value for name, value in parts.items() if valid[name]])
        return (values * torch.exp(-self.logs[: len(values)])).sum() + self.logs.square().sum()


class Relabels(nn.Module):
    """A listener that leaves an image out each epoch, found by its embedding."""

    def relabel(self, train_labels, embed_all):
        left = embed_all().norm(dim=1).argmax()
        return train_labels.index_fill(0, left, -1)


class FirstOfClass(nn.Module):
    """A sampler with a role and a place that it remembers."""

    def __init__(self, batch_size):
        super().__init__()
        self.classes = batch_size // 4
        self.register_buffer("start", torch.zeros((), dtype=torch.int64))

    def draw(self, by_class, generator):
        members = list(by_class.values())
        chosen = [members[(int(self.start) + i) % len(members)] for i in range(self.classes)]
        self.start += self.classes
        places = [torch.randint(len(m), (4,), generator=generator) for m in chosen]
        indices = torch.cat([m[p] for m, p in zip(chosen, places, strict=True)])
        return Batch(indices, {"is_first": torch.arange(len(indices)) % 4 == 0})


def uneven_weights(labels):
    """A miner of weights: rare classes count more."""
    return 1 / (labels[:, None] == labels).sum(dim=1).float()


def flips(images, generator):
    """Mirrors about half of the images."""
    mirror = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirror[:, None, None, None], images.flip(3), images)


def shown_twice(images, generator):
    """New images, for a part of the batch."""
    source = torch.randperm(len(images), generator=generator)[: len(images) // 2]
    return NewRows(images[source].flip(3), source)


def towards_the_mean(raw, labels, embed):
    """New raw rows, each halfway to where an image was before."""
    past = embed(torch.arange(len(labels)))
    return NewRows((raw + past) / 2, torch.arange(len(raw)))


class TwoChannels(nn.Module):
    """A backbone that reads `domain` and gives a named map."""

    feature_maps = ("map",)

    def __init__(self, image_channels, *, width: int = 6):
        super().__init__()
        self.shift = nn.Embedding(2, width)
        self.convolution = nn.Conv2d(image_channels, width, kernel_size=4, stride=4)
        self.norm = nn.BatchNorm2d(width)
        self.feature_dim = width

    def forward(self, images, domain):
        seen = self.norm(self.convolution(images)).relu()
        return seen.mean(dim=(2, 3)) + self.shift(domain), {"map": seen}


class NeedsMargin(nn.Module):
    """A setting without a default."""

    def __init__(self, *, margin: float):
        super().__init__()
        self.margin = margin

    def forward(self, embeddings, labels):
        gap = (embeddings @ embeddings.T) * (labels[:, None] != labels)
        return functional.softplus(gap - self.margin).sum() / len(embeddings)


def shared_labels(similarity, relevance, ref_relevance, positives, negatives):
    """Similarities as the shares of common labels have them: images with several labels."""
    shared = relevance.double() @ ref_relevance.double().T
    either = relevance.sum(dim=1, keepdim=True) + ref_relevance.sum(dim=1) - shared
    gap = (similarity - (shared / either).to(similarity.dtype)).square()
    return (gap * (positives | negatives)).sum() / len(similarity)


class LabelProxies(nn.Module):
    """A proxy for each label, weighed by how rare it is."""

    def __init__(self, num_labels, embedding_dim, label_counts):
        super().__init__()
        self.proxies = nn.Parameter(torch.randn(num_labels, embedding_dim))
        self.register_buffer("weights", 1 / label_counts.clamp(min=1).float())

    def forward(self, embeddings, relevance):
        cosines = embeddings @ functional.normalize(self.proxies, dim=1).T
        losses = functional.softplus(-4 * cosines * (2 * relevance.int() - 1))
        return (losses * self.weights).sum() / len(embeddings)


def alike_and_unlike(anchors, relevance, positives, negatives):
    """Each anchor with the positive that shares most labels and the nearest of those that share none."""
    shared = (relevance.float() @ relevance.float().T).masked_fill(~positives, -1)
    near = (anchors @ anchors.T).masked_fill(~negatives, -torch.inf)
    chosen = (positives.any(dim=1) & negatives.any(dim=1)).nonzero()[:, 0]
    # Of equally alike ones the farthest, so that the order of the rows decides nothing.
    best = (shared - (anchors @ anchors.T) / 4).masked_fill(~positives, -torch.inf)
    return Triplets(torch.stack([chosen, best.argmax(dim=1)[chosen], near.argmax(dim=1)[chosen]]))


class RareLabelsFirst(nn.Module):
    """A sampler that draws half a batch by a label in turn, and half at random."""

    def __init__(self, batch_size, num_labels):
        super().__init__()
        self.half = batch_size // 2
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64))

    def draw(self, train_relevance, train_indices, generator):
        has = train_relevance[:, int(self.turn) % train_relevance.shape[1]].nonzero().flatten()
        self.turn += 1
        own = has[torch.randperm(len(has), generator=generator)[: self.half]]
        rest = train_indices[torch.randperm(len(train_indices), generator=generator)]
        return torch.cat([own, rest[~torch.isin(rest, own)][: self.half]])


def between_sharers(unit, relevance):
    """A row between each row and the next one that shares a label with it."""
    shares = (relevance.int() @ relevance.int().T > 0) & ~torch.eye(len(unit), dtype=torch.bool)
    source = shares.any(dim=1).nonzero()[:, 0]
    other = shares[source].int().argmax(dim=1)
    return NewRows(functional.normalize(unit[source] + unit[other], dim=1), source)
