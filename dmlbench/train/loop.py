"""One training run: the step that every method goes through.

step: draw -> images, image augmenters -> teacher (same pixels) -> trunk -> heads -> before_main objectives
(detached rows) -> augment raw -> views -> augment unit -> per term: rows, miner, loss -> combine -> finite?
-> gradient, clip, step -> after_step
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dmlbench.errors import ContractError, RunError
from dmlbench.spec.track import Track
from dmlbench.train.answers import check_roles, checked_dropped
from dmlbench.train.audit import audit, fingerprints
from dmlbench.train.augmenting import with_new_rows
from dmlbench.train.board import beat
from dmlbench.train.calling import judging
from dmlbench.train.calls import Calls
from dmlbench.train.drawing import checked_batch
from dmlbench.train.embedding import embed_training_images
from dmlbench.train.finite import check_loss, check_main
from dmlbench.train.holding import BACKBONE, Holding
from dmlbench.train.images import TrainingImages
from dmlbench.train.labels import TrainingLabels, training_labels
from dmlbench.train.memory import memories, remember
from dmlbench.train.objective import combine, values_of_terms
from dmlbench.train.optimisation import MAIN, Optimisation
from dmlbench.train.randomness import generator
from dmlbench.train.recipe import Recipe
from dmlbench.train.rows import Rows
from dmlbench.train.scope import Scope
from dmlbench.train.values import Batch, NewRows


class Trainer:
    """Trains `recipe` on `images` until `budget` image views went through the trunk with a gradient.

    `extra_forwards`: gradient-free image passes that components may use, in multiples of the budget.
    `labels`: those that take the place of the images' own.
    """

    def __init__(
        self,
        recipe: Recipe,
        images: TrainingImages,
        track: Track,
        *,
        seed: int,
        budget: int,
        extra_forwards: int,
        labels: TrainingLabels | None = None,
    ) -> None:
        self.recipe = recipe
        self.images = images
        self.seed = seed
        self.budget = budget
        self._forward_limit = extra_forwards * budget
        self._batch_size = track.batch_size
        self._device = recipe.device
        self.step_number = 0
        self.images_seen = 0
        self.extra_forwards = 0
        self.labels = labels or training_labels(images.labels, recipe.facts)

        for module in recipe.modules.values():
            module.to(self._device)
        self.memories = memories(recipe).to(self._device)
        self.optimisation = Optimisation(recipe.modules, track.optimiser)
        self._holding = Holding(recipe, self.optimisation)
        self._calls = Calls(recipe, seed, dict(self.memories.items()))
        self._run_scope = Scope(values={**recipe.facts, **self._services()})
        for name, column in images.columns.items():
            self._run_scope.set(f"train_{name}", column)
        self._untouched = fingerprints(recipe.built)

    @property
    def done(self) -> bool:
        """Whether another full batch would go over the budget."""
        return self.images_seen + self._batch_size > self.budget

    @property
    def progress(self) -> float:
        """Share of the budget used."""
        return self.images_seen / self.budget

    def step(self) -> dict[str, float]:
        """One step; returns its values by name: `loss`, each term, each named part of a term."""
        self._calls.begin(self.step_number)
        epoch_steps = self.recipe.facts["epoch_steps"]
        scope = self._run_scope.child(
            epoch=self.step_number // epoch_steps,
            step=self.step_number,
            progress=self.progress,
            **self.labels.names(),
        )
        if self.step_number % epoch_steps == 0:
            self.labels.start_epoch(self.step_number // epoch_steps, self.images_seen, self.embed)
            self._start_epoch(scope)
        components = self.recipe.components.values()
        self._holding.hold({name for built in components for name in self._calls.held_by(built, scope)})
        log = self._learn(scope)
        self.step_number += 1
        self._check_forwards()
        beat()
        return log

    def _learn(self, scope: Scope) -> dict[str, float]:
        model = self.recipe.model
        learns = MAIN not in self._holding.names
        trains_trunk = learns and BACKBONE not in self._holding.names
        batch = self._draw(scope)
        scope, columns, source = self._look(scope, batch)
        if trains_trunk:
            self.images_seen += len(source)
        else:
            self.extra_forwards += len(source)

        with torch.set_grad_enabled(trains_trunk):
            features, maps = model.features(scope)
        with torch.set_grad_enabled(learns):
            views = {head: model.views(model.embed(features, head, maps), head) for head in model.heads}
        rows = {head: Rows(views[head], columns, source, len(batch.indices)) for head in views}

        at_rest = self._with_features(
            scope, features.detach(), maps, {h: r.detach() for h, r in rows.items()}
        )
        at_rest.set("head", self._head_at_rest)
        self._play("before_main", at_rest, {head: r.detach() for head, r in rows.items()})
        log: dict[str, float] = {}
        parts: dict[str, Tensor] = {}
        valid: dict[str, bool] = {}
        if learns:
            scope = self._with_features(scope, features, maps, rows)
            rows = with_new_rows(self.recipe, self._calls, scope, rows)
            parts, valid = values_of_terms(self.recipe, self._calls, scope, rows, self.step_number, log)
            total = combine(self.recipe, self._calls, scope, parts, valid)
            check_main(self.recipe, rows, parts, total, self.step_number)
            self._step(MAIN, total, "the terms")
            log["loss"] = float(total.detach())
            remember(self.memories, self.recipe.sights, rows)
        at_rest.set("parts", {name: part.detach() for name, part in parts.items()})
        at_rest.set("valid", valid)
        self._play("after_step", at_rest, {head: r.select("real").detach() for head, r in rows.items()})
        return log

    def _draw(self, scope: Scope) -> Batch:
        sampler = self.recipe.sampler
        drawn = self._calls.call(sampler, "draw", scope, sampler.method("draw"), stream="batches")
        with judging(sampler, "draw"):
            left_out = self.labels.left_out
            batch = checked_batch(drawn, sampler.entry.plugin.provides, left_out, self._batch_size)
            check_roles(self.recipe, batch)
        return batch

    def _look(self, scope: Scope, batch: Batch) -> tuple[Scope, dict[str, Tensor], Int[Tensor, " rows"]]:
        """The batch's images, augmented; the columns of their rows; each row's place in the batch."""
        indices = batch.indices
        columns = {"indices": indices, **self.labels.columns(indices), **batch.roles}
        columns |= {name: column[indices] for name, column in self.images.columns.items()}
        columns = {name: column.to(self._device) for name, column in columns.items()}
        source = torch.arange(len(indices), device=self._device)
        images = self.images.augmented(indices, generator(self.seed, "augment", step=self.step_number))
        for name in self.recipe.at("image"):
            seen = scope.child(images=images, **columns)
            made = self._calls.call(self.recipe.augmenters[name], "augment_images", seen)
            if isinstance(made, NewRows):
                images = torch.cat([images, made.rows])
                columns = {key: torch.cat([value, value[made.source]]) for key, value in columns.items()}
                source = torch.cat([source, source[made.source]])
            elif made is not None:
                images = made
        shown = scope.child(images=images, **{name: columns[name] for name in self.images.columns})
        if self.recipe.teacher is not None:
            self.extra_forwards += len(source)
            with torch.no_grad():
                columns["teacher"] = self.recipe.teacher.call("backbone", shown).float()
        return shown, columns, source

    def _step(self, objective: str, loss: Float[Tensor, ""], owner: str) -> None:
        self.optimisation.step(objective, loss, self.progress, owner, self._holding.parameters())

    def _start_epoch(self, scope: Scope) -> None:
        components = self.recipe.components.values()
        if self.step_number == 0:
            for built in components:
                self._calls.event(built, "on_train_start", scope)
        for built in components:
            labels = self._calls.event(built, "relabel", scope.child(**self.labels.names()))
            self.labels.answer(built, labels)
        for built in components:
            self._calls.event(built, "on_epoch_start", scope)

    def _play(self, event: str, scope: Scope, rows: dict[str, Rows]) -> None:
        """Let components act on detached rows, and step every objective that they yield a loss for."""
        for name, built in self.recipe.components.items():
            if built.method(event) is None:
                continue
            head = self.recipe.sights[name].head if name in self.recipe.sights else self.recipe.main_head
            seen = self._calls.seen_by(name, scope, rows[head])
            with judging(built, event):
                for objective, loss in self._calls.event(built, event, seen) or ():
                    if objective == MAIN:
                        raise ContractError(
                            f"{name}.{event} yielded a loss for the main objective", way_out="add a term"
                        )
                    if objective not in self._holding.names:
                        check_loss(objective, loss, name, self.step_number)
                        self._step(objective, loss, name)

    def _with_features(
        self, scope: Scope, features: Tensor, maps: dict[str, Tensor], rows: dict[str, Rows]
    ) -> Scope:
        return scope.child(
            features=features,
            feature_maps=maps if features.requires_grad else {name: m.detach() for name, m in maps.items()},
            heads={head: r.views["unit"] for head, r in rows.items()},
        )

    def _check_forwards(self) -> None:
        if self.extra_forwards > self._forward_limit:
            raise RunError(
                f"{self.extra_forwards} gradient-free image passes, {self._forward_limit} are allowed",
                place=f"step {self.step_number}",
            )

    def _services(self) -> dict[str, Any]:
        model, main = self.recipe.model, self.recipe.main_head
        return {
            "embed": self.embed,
            "embed_all": lambda: self.embed(torch.arange(len(self.labels.now))),
            "head": lambda features: model.embed(features, main),
            "to_view": lambda raw, view: model.views(raw, main)[view],
            "parameters": dict(model.named_parameters()),
        }

    def _head_at_rest(self, features: Float[Tensor, "n feature_dim"]) -> Float[Tensor, "n dim"]:
        """The service `head` outside the main step: evaluation mode, so that no statistic of it moves."""
        self.recipe.model.heads[self.recipe.main_head].eval()
        raw = self.recipe.model.embed(features, self.recipe.main_head)
        self._holding.set_modes()
        return raw

    def embed(self, indices: Int[Tensor, " n"]) -> Float[Tensor, "n dim"]:
        """Raw main-head embeddings of training images, in evaluation mode, without augmentation."""
        self.extra_forwards += len(indices)
        self._check_forwards()  # now: who asks in an endless loop never comes to the end of the step
        embeddings = embed_training_images(self.recipe, self.images, indices)
        self._holding.set_modes()
        return embeddings

    @property
    def mined(self) -> dict[str, int]:
        """How many pairs or triplets each miner chose so far."""
        return self._calls.mined

    def dropped(self) -> Bool[Tensor, " num_samples"] | None:
        """Which training images count for nothing now, as components say; None when none says anything."""
        self._calls.begin(self.step_number)
        left_out = self.labels.left_out
        scope = self._run_scope.child(**self.labels.names())
        said = [bool(left_out.any())]
        for built in self.recipe.components.values():
            found = self._calls.event(built, "dropped", scope)
            if found is not None:
                with judging(built, "dropped"):
                    left_out = left_out | checked_dropped(built, found, len(left_out)).cpu()
                said.append(True)
        return left_out if any(said) else None

    def state_dict(self) -> dict[str, Any]:
        """Everything that resuming needs; raises `ContractError` for state that would be lost."""
        audit(self._untouched, self.recipe.built)
        self.labels.check()
        return {
            "step": self.step_number,
            "images_seen": self.images_seen,
            "extra_forwards": self.extra_forwards,
            "labels": self.labels.state(),
            "mined": dict(self.mined),
            "modules": {name: module.state_dict() for name, module in self.recipe.modules.items()},
            "memories": self.memories.state_dict(),
            "optimisation": self.optimisation.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.step_number = state["step"]
        self.images_seen = state["images_seen"]
        self.extra_forwards = state["extra_forwards"]
        self.labels.load(state["labels"])
        self.mined.update(state.get("mined", {}))
        for name, module in self.recipe.modules.items():
            module.load_state_dict(state["modules"][name])
        self.memories.load_state_dict(state["memories"])
        self.optimisation.load_state_dict(state["optimisation"])
