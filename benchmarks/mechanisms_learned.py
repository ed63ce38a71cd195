"""What training moves: how far alternating projections drift, and what an ensemble weighs its losses by."""

from __future__ import annotations

import argparse

import torch
from mechanisms_runs import pipeline_of, started, trained
from torch.nn import functional

from dmlbench.data.augment import to_input
from dmlbench.score import score
from dmlbench.train.embedding import read_out
from dmlbench.train.scope import Scope

STRENGTHS = (2e-4, 1e-2, 1e-1, 1.0)


def drift(arguments: argparse.Namespace) -> dict[str, float]:
    """|theta - theta_k| / |theta_k| at the end of an outer step, its mean over steps but the first.

    A strength that does nothing (1e-12) stands for none, so that snapshots are taken.
    """
    found = {}
    for strength in (1e-12, *STRENGTHS):
        trainer, _ = started("alternating-projections", arguments, (f"proximal.strength={strength}",))
        proximal = trainer.recipe.terms["proximal"].object
        ends: list[float] = []
        outer, last = 0, 0.0
        while trainer.images_seen < arguments.images and not trainer.done:
            trainer.step()
            start = proximal.start.weights
            if proximal.start.outer_step != outer:
                outer = proximal.start.outer_step
                ends.append(last)
            if start:
                now = dict(trainer.recipe.model.named_parameters())
                moved = sum((now[name] - value).square().sum() for name, value in start.items())
                size = sum(value.square().sum() for value in start.values())
                last = (moved / size).sqrt().item()
        found[f"strength_{strength:g}"] = sum(ends[1:]) / len(ends[1:])
    return found


def weights(arguments: argparse.Namespace) -> dict[str, object]:
    """What an ensemble weighs its losses by, before and after, and map_at_r of its heads on validation."""
    first, _ = started("loss-ensemble", arguments)
    trainer, data = trained("loss-ensemble", arguments)
    before, after = (
        dict(zip(combiner.names, combiner.weights.tolist(), strict=True))
        for combiner in (t.recipe.combiner.object for t in (first, trainer))
    )
    recipe, part, pipeline = trainer.recipe, data.validation, pipeline_of(arguments)
    model = recipe.model.eval()
    together: list[torch.Tensor] = []
    alone: dict[str, list[torch.Tensor]] = {head: [] for head in model.heads}
    with torch.no_grad():
        for rows in part.rows.split(256):
            images = to_input(data.images[rows], pipeline, recipe.device)
            features, maps = model.features(Scope(values={"images": images}))
            together.append(read_out(model, recipe.method, features, maps, recipe.combiner))
            for head in model.heads:
                alone[head].append(functional.normalize(model.embed(features, head, maps), dim=1))

    def good(rows: list[torch.Tensor]) -> float:
        return score(torch.cat(rows).float(), part.labels, metrics=["map_at_r"]).metrics["map_at_r"]

    heads = {head: good(rows) for head, rows in alone.items()}
    return {
        "before": before,
        "after": after,
        "heads": heads,
        "mean_head": sum(heads.values()) / len(heads),
        "together": good(together),
    }
