"""Losses of pairs and tuples written a second time: plain loops over Python floats, slow and obvious.

`s` and `d` are nested lists of similarities and distances, `p` and `n` of booleans, anchors outermost.
"""

from __future__ import annotations

import math

from .reference import mean


def distances(anchors, refs):
    return [[math.dist(a, r) for r in refs] for a in anchors]


def chosen(row, mask):
    return [value for value, yes in zip(row, mask, strict=True) if yes]


def log_sum_exp(values):
    return max(values) + math.log(sum(math.exp(v - max(values)) for v in values)) if values else -math.inf


def log_one_plus_exp(x):
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def anchors_with_both(p, n):
    return [i for i in range(len(p)) if any(p[i]) and any(n[i])]


def lifted_structure(d, p, n, margin):
    """Over ordered pairs; an unordered one counts twice above and below the line."""
    values = []
    for i in range(len(d)):
        for j in range(len(d[0])):
            if p[i][j]:
                ends = [margin - d[i][k] for k in range(len(d[0])) if n[i][k]]
                ends += [margin - d[k][j] for k in range(len(d)) if n[k][j]]
                values.append(max(0.0, log_sum_exp(ends) + d[i][j]) ** 2 / 2 if ends else 0.0)
    return mean(values)


def lifted_structure_generalised(d, p, n, margin):
    return mean(
        [
            max(0.0, log_sum_exp(chosen(d[i], p[i])) + log_sum_exp([margin - x for x in chosen(d[i], n[i])]))
            for i in anchors_with_both(p, n)
        ]
    )


def binomial_deviance(s, p, n, alpha, beta, base):
    total = 0.0
    for i, row in enumerate(s):
        total += mean([log_one_plus_exp(alpha * (base - x)) for x in chosen(row, p[i])])
        total += mean([log_one_plus_exp(beta * (x - base)) for x in chosen(row, n[i])])
    return total / len(s)


def circle(s, p, n, margin, scale):
    values = []
    for i in anchors_with_both(p, n):
        pull = [max(0.0, 1 + margin - x) * (x - (1 - margin)) for x in chosen(s[i], p[i])]
        push = [max(0.0, x + margin) * (x - margin) for x in chosen(s[i], n[i])]
        values.append(sum(math.exp(scale * x) for x in push) * sum(math.exp(-scale * x) for x in pull))
    return mean([math.log1p(x) for x in values])


def supcon(s, p, n, temperature):
    values = []
    for i, row in enumerate(s):
        pull = [x / temperature for x in chosen(row, p[i])]
        everybody = pull + [x / temperature for x in chosen(row, n[i])]
        if pull:
            values.append(mean([log_sum_exp(everybody) - x for x in pull]))
    return mean(values)


def nt_xent(s, p, n, temperature):
    values = []
    for i, row in enumerate(s):
        others = [x / temperature for x in chosen(row, n[i])]
        values += [log_sum_exp([x / temperature, *others]) - x / temperature for x in chosen(row, p[i])]
    return mean(values)


def cbml_parts(row, positive, negative, form, a_p, b_p, a_n, b_n, w_p, w_n, epsilon):
    """(pull, push) of one anchor, or None when mining drops it."""
    pull = [x for x in chosen(row, positive) if x < 1 - 1e-5]
    push = chosen(row, negative)
    if not pull or not push:
        return None
    if epsilon is not None:
        near, far = max(push), min(pull)
        pull = [x for x in pull if x - epsilon < near]
        push = [x for x in push if x + epsilon > far]
    if not pull or not push:
        return None
    a = sum(math.exp(-(x - a_p) / b_p) for x in pull)
    c = sum(math.exp((x - a_n) / b_n) for x in push)
    if form == "log":
        return math.log1p(a), math.log1p(c)
    return (math.sqrt(1 + a), math.sqrt(1 + c)) if form == "sqrt" else (1 + w_p * a, 1 + w_n * c)


def spread_of_negatives(row, positive, negative, mix):
    """V of one anchor."""
    pull, push = [x for x in chosen(row, positive) if x < 1 - 1e-5], chosen(row, negative)
    middle = mix * mean(pull) + (1 - mix) * mean(push)
    return sum((x - middle) ** 2 for x in push)


def margin_hinges(pairs, margin):
    """Of (distance, boundary, +1 for a positive pair or -1)."""
    return [max(0.0, margin + sign * (distance - boundary)) for distance, boundary, sign in pairs]


def mean_of_open(hinges, penalty=0.0):
    number = sum(hinge > 0 for hinge in hinges)
    return (sum(hinges) + penalty) / number if number else 0.0


def batch_hard(s, p, n):
    found = []
    for i in anchors_with_both(p, n):
        near = max((j for j in range(len(s[i])) if n[i][j]), key=lambda j: (s[i][j], -j))
        far = min((j for j in range(len(s[i])) if p[i][j]), key=lambda j: (s[i][j], j))
        found.append((i, far, near))
    return found


def easy_positive(s, p, n, negative):
    found = []
    for i, row in enumerate(s):
        pull = [j for j in range(len(row)) if p[i][j]]
        if not pull:
            continue
        easiest = max(pull, key=lambda j: (row[j], -j))
        push = [j for j in range(len(row)) if n[i][j] and (negative == "hard" or row[j] < row[easiest])]
        if push:
            found.append((i, easiest, max(push, key=lambda j: (row[j], -j))))
    return found


def distance_odds(distances, dim, cutoff, farthest):
    """Shares of negatives at these distances."""
    logs = [
        -(dim - 2) * math.log(max(d, cutoff)) - (dim - 3) / 2 * math.log1p(-(max(d, cutoff) ** 2) / 4)
        if d < farthest
        else -math.inf
        for d in distances
    ]
    odds = [math.exp(x - max(logs)) for x in logs]
    return [x / sum(odds) for x in odds]
