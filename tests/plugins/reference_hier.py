"""HIER a second time: plain loops over Python floats, distances by Möbius addition."""

from __future__ import annotations

import math

from .reference import dot


def to_ball(u, c, clip):
    n = math.sqrt(dot(u, u))
    u = [x * min(1, clip / (n + 1e-5)) for x in u]
    n = math.sqrt(c * dot(u, u))
    return [math.tanh(n) * x / n for x in u]


def ball_distance(x, y, c):
    """(2 / sqrt(c)) artanh( sqrt(c) |(-x) (+) y| ), another form than the component's."""
    x = [-value for value in x]
    xy, xx, yy = dot(x, y), dot(x, x), dot(y, y)
    below = 1 + 2 * c * xy + c * c * xx * yy
    sum_ = [((1 + 2 * c * xy + c * yy) * a + (1 - c * xx) * b) / below for a, b in zip(x, y, strict=True)]
    return 2 / math.sqrt(c) * math.atanh(min(1 - 1e-15, math.sqrt(c * dot(sum_, sum_))))


def hinge(of_i, of_j, of_k, pair, triple, margin):
    """One triplet: its nodes' distances to all proxies, and the places of its two ancestors."""
    if pair == triple:
        return 0.0
    return (
        max(0.0, of_i[pair] - of_i[triple] + margin)
        + max(0.0, of_j[pair] - of_j[triple] + margin)
        + max(0.0, of_k[triple] - of_k[pair] + margin)
    )


def relations(closeness, neighbours):
    """{anchor: (its mutual neighbours, the others)} of the anchors that count."""
    n = len(closeness)
    near = [set(sorted(range(n), key=lambda y: -row[y])[: min(neighbours, n)]) for row in closeness]
    found = {}
    for i in range(n):
        mutual = {j for j in range(n) if j != i and j in near[i] and i in near[j]}
        others = set(range(n)) - mutual - {i}
        if len(mutual) >= 2 and others:
            found[i] = (mutual, others)
    return found
