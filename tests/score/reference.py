"""Scoring written a second time: plain loops over Python floats, slow and obvious."""

from __future__ import annotations

import math


def cosine_distance(u, v):
    lengths = math.sqrt(sum(x * x for x in u)) * math.sqrt(sum(x * x for x in v))
    return 1 - (sum(x * y for x, y in zip(u, v, strict=True)) / lengths if lengths else 0.0)


def euclidean_distance(u, v):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(u, v, strict=True)))


def relevance(queries, query_labels, gallery, gallery_labels, distance, place, leave_out_self):
    """Per query, for each gallery item from near to far, whether it shares the query's label.

    `place[j]` is item j's place in the permuted gallery, which orders ties.
    """
    rows = []
    for i, (query, label) in enumerate(zip(queries, query_labels, strict=True)):
        others = [j for j in range(len(gallery)) if not (leave_out_self and j == i)]
        others.sort(key=lambda j: (distance(query, gallery[j]), place[j]))
        rows.append([gallery_labels[j] == label for j in others])
    return rows


def metrics(row, cut_offs=(1, 2, 4)):
    """Every metric of one query's relevance row, or None for a lone query."""
    total = sum(row)
    if total == 0:
        return None
    precision = [sum(row[: r + 1]) / (r + 1) for r in range(len(row))]
    values = {
        "r_precision": sum(row[:total]) / total,
        "map_at_r": sum(precision[r] for r in range(total) if row[r]) / total,
        "map": sum(precision[r] for r in range(len(row)) if row[r]) / total,
        "mrr": 1 / (row.index(True) + 1),
    }
    values["map_voc"] = sum(max(precision[r:]) for r in range(len(row)) if row[r]) / total
    for k in cut_offs:
        hits = [r for r in range(min(k, len(row))) if row[r]]
        values[f"recall_at_{k}"] = 1.0 if hits else 0.0
        values[f"precision_at_{k}"] = len(hits) / k
        values[f"map_at_{k}"] = sum(precision[r] for r in hits) / total
        values[f"map_min_at_{k}"] = sum(precision[r] for r in hits) / min(total, k)
        values[f"map_hits_at_{k}"] = sum(precision[r] for r in hits) / len(hits) if hits else 0.0
        values[f"map_voc_at_{k}"] = sum(max(precision[r:k]) for r in hits) / min(total, k)
        ideal = sum(1 / math.log2(r + 2) for r in range(min(total, k)))
        values[f"ndcg_at_{k}"] = sum(1 / math.log2(r + 2) for r in hits) / ideal
    return values


def mean_metrics(rows, lone="excluded"):
    """(mean of each metric, queries counted, queries skipped)."""
    found = [metrics(row) for row in rows]
    known = [values for values in found if values is not None]
    counted = len(known) if lone == "excluded" else len(found)
    means = {name: sum(values[name] for values in known) / counted for name in known[0]}
    return means, counted, len(found) - counted
