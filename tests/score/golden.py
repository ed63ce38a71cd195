"""What every metric gives on fixed data, in numbers that no change of code may move.

The data are small whole numbers, so that distances, and so ranks, are exact on every machine. A metric whose
golden number has to change gets a higher version in `dmlbench.score.names`, and its new number is written
here by `python tests/score/golden.py`, under that version.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from dmlbench.score import METRICS, expression, low_shot, score, verify
from dmlbench.score.expression import accuracy, confusion, macro_f1, mean_class_accuracy
from dmlbench.score.low_shot import episode_accuracy, imprinted_accuracy

FILE = Path(__file__).with_name("golden.json")
CUT_OFFS = (2, 5, 12)


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(points [60, 3], class ids of unequal classes and one lone item, several labels each), by formula."""
    item = torch.arange(60)
    points = torch.stack([(item * 37 + 11) % 9, (item * item * 5 + item) % 7, (item * 101) % 8], dim=1)
    labels = ((item * item) % 7 + item % 2).clamp(max=6)
    labels[59] = 2**40  # lone
    several = torch.stack([(item * step) % 11 < 4 for step in (1, 3, 4, 7, 9)], dim=1)
    # Near by class, and many of them tied.
    points = points + 2 * torch.stack([labels % 3, labels % 2, labels % 5], dim=1)
    return points, labels, several.long()


def golden() -> dict[str, dict[str, float]]:
    """Each metric with its version, by the way in which ties are settled."""
    points, labels, several = data()
    found: dict[str, dict[str, float]] = {}
    for ties in ("permuted", "expected", "pessimistic"):
        for metric, entry in METRICS.items():
            names = [metric.replace("K", str(k)) for k in CUT_OFFS] if metric.endswith("K") else [metric]
            if ties == "expected" and metric in ("map_hits_at_K", "map_voc", "map_voc_at_K", "wmap_at_K"):
                continue
            wanted = several if entry.several_labels else labels
            scores = score(points, wanted, metrics=names, distance="euclidean", ties=ties)
            for name, value in scores.metrics.items():
                found.setdefault(f"{name}/{entry.version}", {})[ties] = value
    return found | {name: {"permuted": value} for name, value in others().items()}


def others() -> dict[str, float]:
    """Metrics of pairs, of few examples a class, and of predictions."""
    points, labels, _ = data()
    item = torch.arange(400)
    pairs = torch.stack([(item * 7) % 60, (item * 11 + 1) % 60], dim=1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    genuine = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    folds = torch.arange(len(pairs)) % 10
    verified = verify(points, pairs, genuine, folds, distance="euclidean")
    versions = {name: verified.metric_versions[name] for name in verified.metrics}
    known = labels < 2**40
    shots = imprinted_accuracy(
        points[known], labels[known], points[:50], labels[:50], torch.tensor([2, 5]), shots=2, draws=3
    )
    matrix = confusion(labels[known], (labels[known] * 3 + item[:59] % 4 // 3) % 7, 7)
    values = {
        **{f"{name}/{versions[name]}": value for name, value in verified.metrics.items()},
        **{f"{name}/{shots.metric_versions[name]}": value for name, value in shots.metrics.items()},
        f"accuracy_episodes/{low_shot.METRIC_VERSIONS['accuracy_episodes']}": episode_accuracy(
            points[known], labels[known], ways=3, shots=1, queries=2, episodes=50
        ).accuracy,
    }
    for metric in (accuracy, macro_f1, mean_class_accuracy):
        values[f"{metric.__name__}/{expression.METRIC_VERSIONS[metric.__name__]}"] = metric(matrix)
    return values


if __name__ == "__main__":
    FILE.write_text(json.dumps(golden(), indent=1, sort_keys=True) + "\n")
