"""A method's components, built and checked: every wrong name is an error before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from dmlbench.errors import ContractError, nearest
from dmlbench.spec.component import Component
from dmlbench.spec.method import Augmenter, Method, Term
from dmlbench.spec.track import Track
from dmlbench.train.component import Built, build
from dmlbench.train.names import EVENTS, NAMES, ONE_CLASS, SEVERAL_LABELS
from dmlbench.train.network import build_network
from dmlbench.train.numerics import Numerics
from dmlbench.train.recipe_checks import check_recipe
from dmlbench.train.sight import Sight
from dmlbench.train.signature import entry_point

_ALWAYS = {"fact", "run", "step", "input", "batch", "rows", "pairs", "service", "forward", "parts"}
_CONDITIONAL = {
    "domain",
    "train_domain",
    "train_superclass",
    "teacher",
    "teacher_dim",
    "raw",
    "ball",
    "feature_maps",
}


class Recipe:
    """The components of a method on a track, in recipe order.

    `facts` are those known from the data and the budget; widths are added here. With `num_labels` among them
    images have several labels, else one class. `columns` are the data set's columns that the protocol shows.
    `home` is the recipe's distribution: its short ids are meant first.
    """

    def __init__(
        self,
        method: Method,
        track: Track,
        facts: Mapping[str, Any],
        columns: set[str],
        numerics: Numerics,
        seed: int,
        home: str = "",
    ) -> None:
        self.method = method
        self.facts = {
            **facts,
            "term_names": tuple(method.terms),
            "term_heads": tuple(term.head for term in method.terms.values()),
            "image_size": track.images.size,
            "image_channels": track.images.channels,
            "embedding_dim": track.dimension,
        }
        self._seed = seed
        self._home = home
        self.device = numerics.device
        self._columns = columns
        network = build_network(method, track, self.facts, columns, numerics, seed, home)
        self.model, self.backbone, self.heads = network.model, network.backbone, network.heads
        self.facts = network.facts
        self.main_head = self.model.main_head
        widths = {name: head.embedding_dim for name, head in self.model.heads.items()}
        self.facts["embedding_dim"] = widths[self.main_head]
        self.head_widths: dict[str, int] = widths

        make = self._make
        self.teacher = self._build_teacher(method.teacher) if method.teacher else None
        if self.teacher and isinstance(width := getattr(self.teacher.module, "feature_dim", None), int):
            self.facts["teacher_dim"] = width
        self.sampler = make("sampler", method.sampler or track.sampler, "sampler")
        self.miners = {name: make("miner", spec, name) for name, spec in method.miners.items()}
        self.augmenters = {name: make("augmenter", spec, name) for name, spec in method.augmenters.items()}
        self.terms = {name: make("loss", spec, name) for name, spec in method.terms.items()}
        self.combiner = make("loss", method.combiner, "combiner") if method.combiner else None
        self.others = {name: make("loss", spec, name) for name, spec in method.others.items()}
        self.sights = {name: Sight.of(user) for name, user in {**method.augmenters, **method.terms}.items()}
        self._read_signatures()
        check_recipe(self)

    @property
    def components(self) -> dict[str, Built]:
        """Everything but trunk and heads, in recipe order: the order of events."""
        combiner = {"combiner": self.combiner} if self.combiner else {}
        return {
            "sampler": self.sampler,
            **self.miners,
            **self.augmenters,
            **self.terms,
            **combiner,
            **self.others,
        }

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All that has state."""
        owned = {name: built.module for name, built in self.components.items() if built.module is not None}
        return {"model": self.model, **owned}

    @property
    def built(self) -> dict[str, Built]:
        """Trunk and heads too: what a record lists."""
        teacher = {"teacher": self.teacher} if self.teacher else {}
        return {"backbone": self.backbone, **self.heads, **teacher, **self.components}

    @property
    def several_labels(self) -> bool:
        """Whether images have several labels: components are shown those, and no class."""
        return "num_labels" in self.facts

    @property
    def classifier(self) -> Built | None:
        """The first term that classifies by a row for each class: its parameter `class_rows`."""
        return next((term for term in self.terms.values() if hasattr(term.module, "class_rows")), None)

    def class_rows(self) -> Float[Tensor, "num_classes dim"] | None:
        """The rows that training classes are told by, on the CPU; None where no term keeps any."""
        return self.classifier.object.class_rows.detach().float().cpu() if self.classifier else None

    @property
    def splits_classes(self) -> bool:
        """Whether a component may answer more classes than were given."""
        given = self.facts.get("num_classes", 0)
        return any(getattr(built.object, "max_classes", 0) > given > 0 for built in self.components.values())

    def at(self, stage: str) -> list[str]:
        """The augmenters that act at `image`, `raw` or `unit`, in recipe order."""
        return [name for name, built in self.augmenters.items() if built.entry.plugin.at == stage]

    def miner_of(self, user: str) -> str | None:
        """The miner of a term or an augmenter; None for anything else."""
        users: dict[str, Term | Augmenter] = {**self.method.terms, **self.method.augmenters}
        return users[user].miner if user in users else None

    def _build_teacher(self, spec: Component) -> Built:
        """The teacher sees the student's pixels and learns nothing."""
        teacher = build("backbone", spec, "teacher", self.facts, self._seed, self._home, role="backbone")
        teacher.read("backbone", entry_point(teacher.object), present={"images", *self._columns})
        if teacher.module is not None:
            teacher.module.to(self.device).eval().requires_grad_(False)
        return teacher

    def _make(self, kind: str, spec: Component, name: str) -> Built:
        return build(kind, spec, name, self.facts, self._seed, self._home)

    def _read_signatures(self) -> None:
        roles = set(self.sampler.entry.plugin.provides)
        common = self._present()
        draw = self.sampler.method("draw") or self.sampler.object
        self.sampler.read("draw", draw, present=common)
        for name, built in self.augmenters.items():
            images = built.entry.plugin.at == "image"
            moment = "augment_images" if images else "augment"
            present = common if images else common | self._visible(name)
            built.read(moment, entry_point(built.object), present=present, roles=roles)
        for name, built in self.terms.items():
            present = common | self._visible(name)
            request = built.read("loss", entry_point(built.object), present=present, roles=roles)
            self._refuse_square_loss_with_refs(name, built, request.names)
        for user in self.sights:
            if miner := self.miner_of(user):
                visible = common | self._views(user)
                self.miners[miner].read(
                    "mine", entry_point(self.miners[miner].object), present=visible, roles=roles
                )
        if self.combiner:
            self.combiner.read("combine", entry_point(self.combiner.object), present=common)
        for name, built in self.components.items():
            for moment in (*EVENTS, "hold", "fuse", "dropped"):
                if function := built.method(moment):
                    visible = self._visible(name) if name in self.sights else {"raw"}
                    built.read(moment, function, present=common | visible, roles=roles)

    def _present(self) -> set[str]:
        names = {name for name, entry in NAMES.items() if entry.scope in _ALWAYS} - _CONDITIONAL
        names = names - ({"head"} if "feature_maps" in self._head_reads() else set())
        teacher = {"teacher"} if self.teacher else set()
        of_all = {f"train_{column}" for column in self._columns} & NAMES.keys()
        absent = ONE_CLASS if self.several_labels else SEVERAL_LABELS
        widths = {"teacher_dim"} & self.facts.keys()
        return (names - absent) | self._maps() | teacher | widths | of_all | self._columns

    def _maps(self) -> set[str]:
        return {"feature_maps"} if hasattr(self.backbone.module, "feature_maps") else set()

    def _head_reads(self) -> set[str]:
        """What the main head is made from: one that reads maps makes nothing of features alone."""
        return self.heads[self.main_head].requests["head"].names

    def _views(self, user: str) -> set[str]:
        """The views that every row a user sees has: a row made at `unit` has only that form."""
        sight = self.sights[user]
        made = [name for name in self.at("unit") if name != user and self.sights[name].head == sight.head]
        if made and user in self.terms and sight.rows != "real":
            return {"unit"}
        return {"raw", "unit", *self._own_views(sight.head)}

    def _own_views(self, head: str) -> set[str]:
        return set(getattr(self.model.heads[head], "view_names", ()))

    def _visible(self, user: str) -> set[str]:
        miner = self.miner_of(user)
        mined = {self.miners[miner].entry.plugin.yields} if miner else set()
        views = self._views(user)
        view = self.sights[user].view
        if view not in views:
            raise ContractError(
                f"{user}: view {view!r} is not there; its rows have {', '.join(sorted(views))}",
                near=nearest(view, views),
                way_out=NAMES[view].way_out or None,
            )
        return views | mined

    def _refuse_square_loss_with_refs(self, name: str, built: Built, names: set[str]) -> None:
        pairwise = {"anchors", "refs", "ref_labels", "ref_relevance", "similarity", "positives", "negatives"}
        if self.sights[name].refs != "same" and not names & pairwise:
            raise ContractError(
                f"{name} has refs = {self.sights[name].refs!r}, but its loss reads no refs",
                way_out=f"a loss that takes refs asks for some of: {', '.join(sorted(pairwise))}",
            )
        roles = self.sampler.entry.plugin.provides
        if self.sights[name].refs not in ("same", "all", "real", "memory", *roles):
            raise ContractError(
                f"{name}: refs = {self.sights[name].refs!r} is neither same, all, real, memory nor a role",
                near=nearest(self.sights[name].refs, roles),
                way_out=f"roles of the sampler: {', '.join(roles) or 'none'}",
            )
