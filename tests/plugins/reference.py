"""The built-in components written a second time: plain loops over Python floats, slow and obvious."""

from __future__ import annotations

import math


def dot(u, v):
    return sum(x * y for x, y in zip(u, v, strict=True))


def unit(u):
    length = math.sqrt(dot(u, u))
    return [x / length for x in u]


def square_distance(u, v):
    return sum((x - y) ** 2 for x, y in zip(u, v, strict=True))


def mean(values):
    return sum(values) / len(values) if values else 0.0


# ---- losses over pairs; `similarity` and the masks are nested lists, anchors outermost


def mined_pairs(similarity, positive, negative, epsilon):
    """(positives, negatives) that multi-similarity keeps of one anchor."""
    p = [j for j, yes in enumerate(positive) if yes]
    n = [j for j, yes in enumerate(negative) if yes]
    if epsilon is None:
        return p, n
    return (
        [j for j in p if n and similarity[j] < max(similarity[k] for k in n) + epsilon],
        [j for j in n if p and similarity[j] > min(similarity[k] for k in p) - epsilon],
    )


def multi_similarity(similarity, positives, negatives, alpha, beta, base, epsilon):
    total = 0.0
    for s, positive, negative in zip(similarity, positives, negatives, strict=True):
        p, n = mined_pairs(s, positive, negative, epsilon)
        if p and n:
            total += math.log(1 + sum(math.exp(-alpha * (s[j] - base)) for j in p)) / alpha
            total += math.log(1 + sum(math.exp(beta * (s[j] - base)) for j in n)) / beta
    return total / len(similarity)


def multi_similarity_weights(s, p, n, alpha, beta, base):
    """How fast one anchor's loss falls with each kept positive and rises with each kept negative."""

    def weights(kept, factor):
        return [
            1 / (math.exp(factor * (base - s[j])) + sum(math.exp(factor * (s[k] - s[j])) for k in kept))
            for j in kept
        ]

    return weights(p, -alpha), weights(n, beta)


def contrastive(anchors, refs, positives, negatives, positive_margin, negative_margin):
    pull, push = [], []
    for i, anchor in enumerate(anchors):
        for j, ref in enumerate(refs):
            d = math.sqrt(square_distance(anchor, ref))
            if positives[i][j] and d > positive_margin:
                pull.append(d - positive_margin)
            if negatives[i][j] and d < negative_margin:
                push.append(negative_margin - d)
    return mean(pull) + mean(push)


def triplet(anchors, refs, triplets, margin):
    return mean(
        [
            max(0.0, square_distance(anchors[a], refs[p]) - square_distance(anchors[a], refs[n]) + margin)
            for a, p, n in triplets
        ]
    )


def semihard(similarity, positives, negatives, margin):
    """[(anchor, positive, negative)], anchors outermost; of equally near negatives the first."""
    found = []
    for i, row in enumerate(similarity):
        distance = [2 - 2 * s for s in row]
        for p in range(len(row)):
            if not positives[i][p]:
                continue
            gaps = {n: distance[n] - distance[p] for n in range(len(row)) if negatives[i][n]}
            inside = [n for n, gap in gaps.items() if 0 < gap < margin]
            if inside:
                found.append((i, p, min(inside, key=lambda n: (distance[n], n))))
    return found


# ---- losses over classes


def cross_entropy(logits, label, label_smoothing=0.0):
    """The label's target is 1 - smoothing + smoothing / classes, every other's smoothing / classes."""
    normaliser = math.log(sum(math.exp(x - max(logits)) for x in logits)) + max(logits)
    even = label_smoothing / len(logits)
    return sum(((1 - label_smoothing) * (c == label) + even) * (normaliser - x) for c, x in enumerate(logits))


def normalised_softmax(rows, weights, labels, temperature):
    return mean(
        [
            cross_entropy([dot(unit(row), unit(w)) / temperature for w in weights], label)
            for row, label in zip(rows, labels, strict=True)
        ]
    )


def proxy_nca(rows, proxies, labels, form, scale_embedding, scale_proxy, label_smoothing=0.0):
    values = []
    for row, label in zip(rows, labels, strict=True):
        x = [scale_embedding * value for value in unit(row)]
        d = [square_distance(x, [scale_proxy * value for value in unit(proxy)]) for proxy in proxies]
        if form == "softmax":
            values.append(cross_entropy([-value for value in d], label, label_smoothing))
        else:
            others = [math.exp(-value) for c, value in enumerate(d) if c != label]
            values.append(d[label] + math.log(sum(others)))
    return mean(values)


# ---- centres


def center(rows, centers, labels):
    return mean([square_distance(row, centers[label]) / 2 for row, label in zip(rows, labels, strict=True)])


def center_step(rows, centers, labels, rate):
    """The centres after the step of Wen et al. 2016, equation 4."""
    moved = []
    for c, centre in enumerate(centers):
        own = [row for row, label in zip(rows, labels, strict=True) if label == c]
        moved.append(
            [x - rate * sum(x - row[k] for row in own) / (1 + len(own)) for k, x in enumerate(centre)]
        )
    return moved


# ---- densely-anchored sampling


class Das:
    """Frequencies and banks as lists of lists."""

    def __init__(self, classes, dim, channels, bank):
        self.channels, self.bank = channels, bank
        self.frequency = [[0] * dim for _ in range(classes)]
        self.banks = [[] for _ in range(classes)]

    def record(self, rows, labels):
        for row, label in zip(rows, labels, strict=True):
            for channel in sorted(range(len(row)), key=lambda k: -row[k])[: self.channels]:
                self.frequency[label][channel] += 1

    def remember(self, rows, labels):
        for a, first in enumerate(rows):
            for b, second in enumerate(rows):
                difference = [x - y for x, y in zip(first, second, strict=True)]
                if a != b and labels[a] == labels[b] and any(difference):
                    kept = [*self.banks[labels[a]], difference]
                    self.banks[labels[a]] = kept[-self.bank :] if self.bank else []

    def favourite(self, label):
        """The channels that are scaled; of equal counts the lower one."""
        counts = self.frequency[label]
        return sorted(range(len(counts)), key=lambda k: (-counts[k], k))[: self.channels]
