"""Miners with one fault each."""

import torch

from dmlbench.api import Pairs, Triplets


def pairs_with_itself(labels):
    same = labels[:, None] == labels
    return Pairs(same.nonzero().T, (~same).nonzero().T)


def past_the_end(positives, negatives):
    return Pairs(positives.nonzero().T, negatives.nonzero().T + 1)


def nearest_of_any_class(similarity, positives, negatives):
    """As positives: the nearest other row."""
    known = positives | negatives
    if not known.any():
        return Pairs(known.nonzero().T, known.nonzero().T)
    nearest = similarity.masked_fill(~known, -torch.inf).argmax(dim=1)
    return Pairs(torch.stack([torch.arange(len(nearest)), nearest]), negatives.nonzero().T)


def twice(positives, negatives):
    anchor, positive = positives.nonzero().T
    place, negative = negatives[anchor].nonzero().T
    triplets = torch.stack([anchor[place], positive[place], negative])
    return Triplets(torch.cat([triplets, triplets], dim=1))


def first_half(positives, negatives):
    """Rows that come later are never anchors."""
    early = (torch.arange(len(positives)) < (len(positives) + 1) // 2)[:, None]
    return Pairs((positives & early).nonzero().T, (negatives & early).nonzero().T)


def table_of_fifty(labels):
    """Weights from a table that ends."""
    return torch.ones(50)[torch.arange(len(labels))]


def equal_labels_alone(relevance):
    """Takes two rows that share a label for a negative pair when the rest of their labels differs."""
    same = (relevance[:, None] == relevance).all(dim=2)
    itself = torch.eye(len(relevance), dtype=torch.bool)
    return Pairs((same & ~itself).nonzero().T, (~same).nonzero().T)
