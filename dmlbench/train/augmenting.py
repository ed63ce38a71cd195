"""Rows with what the augmenters make of them."""

from __future__ import annotations

from collections.abc import Mapping

from dmlbench.train.calling import judging
from dmlbench.train.calls import Calls
from dmlbench.train.recipe import Recipe
from dmlbench.train.rows import Rows
from dmlbench.train.scope import Scope


def with_new_rows(recipe: Recipe, calls: Calls, scope: Scope, rows: Mapping[str, Rows]) -> dict[str, Rows]:
    """The rows of each head, grown at `raw` and at `unit`; views are taken anew after the raw stage."""
    grown = dict(rows)
    for stage in ("raw", "unit"):
        for name in recipe.at(stage):
            head, built = recipe.sights[name].head, recipe.augmenters[name]
            made = calls.call(built, "augment", calls.seen_by(name, scope, grown[head]))
            if made is None:
                continue
            with judging(built, "augment"):
                grown[head] = grown[head].extend(made, stage, name)
            if stage == "raw":
                grown[head] = grown[head].with_views(recipe.model.views(grown[head].views["raw"], head))
    return grown
