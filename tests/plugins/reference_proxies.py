"""Losses against learned vectors, and N-pair, a second time: plain loops over Python floats."""

from __future__ import annotations

import math

from .reference import cross_entropy, dot, mean, unit


def cosines(rows, vectors):
    return [[dot(unit(row), unit(vector)) for vector in vectors] for row in rows]


# ---- several centres a class; `centres` is [class][centre][dim]


def class_similarity(rows, centres, gamma):
    """[row][class]: the softmax-weighted cosine to the centres of the class."""
    found = []
    for row in rows:
        line = []
        for own in centres:
            (s,) = cosines([row], own)
            shares = [math.exp(gamma * x) for x in s]
            line.append(sum(share * x for share, x in zip(shares, s, strict=True)) / sum(shares))
        found.append(line)
    return found


def centre_distances(centres):
    """Of every unordered pair of centres of one class."""
    return [
        math.sqrt(2 + 1e-5 - 2 * dot(unit(own[i]), unit(own[j])))
        for own in centres
        for i in range(len(own))
        for j in range(i)
    ]


# ---- losses over [row][class] similarities


def proxy_anchor(similarity, labels, alpha, margin):
    classes = range(len(similarity[0]))
    pull, push = [], []
    for c in classes:
        own = [math.exp(-alpha * (s[c] - margin)) for s, y in zip(similarity, labels, strict=True) if y == c]
        others = [
            math.exp(alpha * (s[c] + margin)) for s, y in zip(similarity, labels, strict=True) if y != c
        ]
        if own:
            pull.append(math.log(1 + sum(own)))
        push.append(math.log(1 + sum(others)))
    return mean(pull) + mean(push)


def proxy_anchor_by_row(similarity, labels, alpha, margin):
    values = []
    for s, y in zip(similarity, labels, strict=True):
        others = [math.exp(alpha * (x + margin)) for c, x in enumerate(s) if c != y]
        values.append(math.log(1 + math.exp(-alpha * (s[y] - margin))) + math.log(1 + sum(others)))
    return mean(values)


def softmax_with(own, similarity, labels, scale):
    """Cross-entropy over scale * similarity, the own class's taken from `own(similarity)`."""
    values = []
    for s, y in zip(similarity, labels, strict=True):
        values.append(cross_entropy([scale * (own(x) if c == y else x) for c, x in enumerate(s)], y))
    return mean(values)


def arcface_cosine(cosine, margin, easy):
    angle = math.acos(cosine)
    if easy:
        return math.cos(angle + margin) if cosine > 0 else cosine
    return (
        math.cos(angle + margin) if angle + margin < math.pi else math.cos(angle) - margin * math.sin(margin)
    )


# ---- N-pair; one anchor and one positive a class


def n_pair(anchors, positives, form):
    values = []
    for i, anchor in enumerate(anchors):
        own = dot(anchor, positives[i])
        gaps = [math.exp(dot(anchor, other) - own) for j, other in enumerate(positives) if j != i]
        values.append(math.log(1 + sum(gaps)) if form == "mc" else sum(math.log(1 + gap) for gap in gaps))
    return mean(values)


def hardest_first(violated, start, count, join):
    """Classes in the order in which they are taken, `join` (max or sum) over those that are in already."""
    chosen = [start]
    while len(chosen) < min(count, len(violated)):
        left = [c for c in range(len(violated)) if c not in chosen]
        chosen.append(max(left, key=lambda c: join(violated[s][c] for s in chosen)))
    return chosen
