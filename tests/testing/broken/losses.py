"""Losses with one fault each. The comment says what is wrong; the test says which check has to notice."""

import numpy as np
import torch
from torch.nn import functional


def unknown_name(embeddings, lables):  # misspelt
    return embeddings.sum()


def not_a_number(embeddings):  # the logarithm of what may be negative
    return embeddings.log().sum()


def fails_later(embeddings, step):  # fine in a call by hand, not in the loop
    if step > 2:
        raise ValueError("out of luck")
    return embeddings.square().sum()


def changes_labels(embeddings, labels):
    value = _pull(embeddings, labels[:, None] == labels)
    labels += 1
    return value


def changes_embeddings(embeddings):  # centres them in place
    return embeddings.sub_(embeddings.mean(dim=0)).square().sum()


def mean_over_no_positives(similarity, positives):
    if len(similarity) < 2:
        return None
    return 1 - similarity[positives].mean()


def mean_over_no_negatives(similarity, negatives):
    if len(similarity) < 2:
        return None
    return similarity[negatives].mean()


def mean_over_no_triplets(similarity, positives, negatives, triplets):
    if not positives.any() or not negatives.any():
        return None
    anchor, positive, negative = triplets.indices
    return functional.softplus(similarity[anchor, negative] - similarity[anchor, positive]).mean()


def labels_through_float(embeddings, labels):
    return _pull(embeddings, labels.float()[:, None] == labels.float())


def order_of_rows(embeddings):  # each row with the next one
    return (embeddings[1:] - embeddings[:-1]).square().sum()


def unseeded(embeddings):  # a generator of its own, from the system's entropy
    noise = np.random.default_rng().normal(size=embeddings.shape)
    return (embeddings * torch.as_tensor(noise, dtype=embeddings.dtype)).sum()


def root_of_zero(embeddings):  # distances of equal rows have no finite gradient
    distances = (embeddings[:, None] - embeddings).square().sum(dim=2)
    others = ~torch.eye(len(embeddings), dtype=torch.bool)
    return distances[others].sqrt().sum() / len(embeddings)


def no_row_expected_alone(embeddings):  # normalises over the batch
    return functional.batch_norm(embeddings, None, None, training=True).pow(4).mean()


def views_rows(embeddings):  # only contiguous memory has this view
    return embeddings.view(-1).pow(4).sum()


def square_expected(similarity, positives):  # anchors and refs may differ in number
    return (similarity * positives + similarity.T * positives.T).sum()


def batch_cubed(similarity, positives, negatives):  # one element a triplet, mined or not
    gap = similarity[:, None, :] - similarity[:, :, None]
    chosen = positives[:, :, None] & negatives[:, None, :]
    return (functional.softplus(gap) * chosen).sum() / len(similarity)


def ties_in_rows(raw):  # the logarithm of spacings: whole duplicates are thought of, equal numbers are not
    equal = (raw[:, None] == raw).all(dim=2).tril(-1).any(dim=1)
    return -raw[~equal].sort(dim=0).values.diff(dim=0).log().sum()


def overflows_in_bf16(feature_maps):  # the least float32 is no bf16
    last = feature_maps["last"].flatten(1)
    return last.masked_fill(last <= 0, torch.finfo(torch.float32).min).amax(dim=1).float().sum()


def hides_nan(embeddings):
    return torch.nan_to_num(embeddings).pow(4).sum()


def detached_part(embeddings, labels):  # the weight depends on the rows too
    similarity = embeddings @ embeddings.T
    return (similarity * similarity.detach()).sum() / len(similarity)


class _Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values.square()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0]  # half of it


def wrong_backward(embeddings):
    centre = embeddings.mean(dim=0)
    return _Square.apply(embeddings - centre + 1).sum()


def mean_over_nothing_shared(similarity, relevance, ref_relevance):
    """Of rows with several labels."""
    if len(relevance) == 1:
        return None
    shared = relevance.float() @ ref_relevance.float().T
    shared = shared.masked_fill(torch.eye(len(shared), dtype=torch.bool), 0)
    return (similarity * shared).sum() / shared.sum()


def _pull(embeddings, same):
    distances = (embeddings[:, None] - embeddings).square().sum(dim=2)
    return (distances * same).sum() / len(embeddings)
