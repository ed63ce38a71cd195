"""What a recipe says of itself and can be held to before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from dmlbench.errors import ContractError, nearest
from dmlbench.train.component import Built
from dmlbench.train.signature import location, parameters_of

if TYPE_CHECKING:
    from dmlbench.train.recipe import Recipe


def check_recipe(recipe: Recipe) -> None:
    """Raise `ContractError` for a weight that nothing keeps, a readout that no head offers, and a component
    that would give images another class where they have none."""
    for name, term in recipe.method.terms.items():
        if isinstance(term.weight, str):
            kept_scalar(recipe.components, name, term.weight)
    _check_readout(recipe)
    _check_class_rows(recipe)
    _check_classes(recipe)
    for name, built in recipe.components.items():
        if recipe.several_labels and (function := built.method("relabel")):
            raise ContractError(
                f"{name} has the event 'relabel', but here images have several labels and no class to change",
                place=location(function),
                way_out="a protocol with one class an image",
            )


def _check_class_rows(recipe: Recipe) -> None:
    """Raise `ContractError` when rows that are needed are not there, or are not one for each class."""
    built = recipe.classifier
    if built is None:
        if recipe.method.trains_on_novel:
            raise ContractError(
                f'novel = "{recipe.method.novel}" needs a loss that classifies by a row for each class',
                place=f"recipe {recipe.method.id}",
                way_out='a term whose loss keeps `class_rows`, e.g. "dmlbench:cosine-softmax"',
            )
        return
    rows = built.object.class_rows
    wanted = (recipe.facts.get("num_classes"), recipe.facts["embedding_dim"])
    if not isinstance(rows, nn.Parameter) or tuple(rows.shape) != wanted:
        raise ContractError(
            f"{built.name}: class_rows is {tuple(getattr(rows, 'shape', ())) or type(rows).__name__}",
            place=location(type(built.object)),
            way_out="a parameter Float[num_classes embedding_dim], or another name for what it is",
        )


_BY_CLASS = {"num_classes", "class_counts"}
_CURRENT = {"labels", "ref_labels", "train_labels", "by_class"}


def _check_classes(recipe: Recipe) -> None:
    """Raise `ContractError` when one component may answer more classes than another has room for."""
    known = recipe.facts.get("num_classes", 0)
    most = {name: getattr(built.object, "max_classes", 0) for name, built in recipe.components.items()}
    for owner in (name for name, classes in most.items() if classes > known):
        for name, built in recipe.components.items():
            asked = (
                {parameter.name for parameter in parameters_of(type(built.object))} if built.module else set()
            )
            reads = {read for request in built.requests.values() for read in request.names}
            if name != owner and asked & _BY_CLASS and reads & _CURRENT:
                raise ContractError(
                    f"{owner} may make {most[owner]} classes of {known}; {name} keeps something of each of "
                    f"{known} and reads {', '.join(sorted(reads & _CURRENT))}",
                    place=location(type(built.object)),
                    way_out="a component that reads 'first_labels', or one that keeps nothing by class",
                )


def kept_scalar(components: Mapping[str, Built], term: str, weight: str) -> float | Tensor:
    """The scalar `COMPONENT.ATTRIBUTE` that weighs `term`, as it is now."""
    owner, dot, attribute = weight.rpartition(".")
    if not dot or owner not in components:
        raise ContractError(
            f"{term}: weight {weight!r} names no component of the recipe",
            near=nearest(owner or weight, components),
            way_out=f"a number, or COMPONENT.ATTRIBUTE with one of: {', '.join(components)}",
        )
    component = components[owner].object
    if not hasattr(component, attribute):
        raise ContractError(
            f"{term}: weight {weight!r}: {owner} has no {attribute!r}",
            near=nearest(attribute, (name for name in dir(component) if not name.startswith("_"))),
            way_out="a buffer or an attribute that the component's constructor sets",
        )
    value = getattr(component, attribute)
    if isinstance(value, Tensor) and value.ndim == 0:
        return value
    if isinstance(value, int | float):
        return float(value)
    raise ContractError(f"{term}: weight {weight!r} is a {type(value).__name__}, not a number")


def check_width(backbone: Built, image_size: int) -> None:
    """Raise `ContractError` when nothing is left of the images at the end of the backbone."""
    width = getattr(backbone.module, "feature_dim", None)
    if isinstance(width, int) and width < 1:
        raise ContractError(
            f"{backbone.name}: {backbone.entry.full_id} makes {width} features of images of "
            f"{image_size} x {image_size}",
            way_out="a track with larger images, or a backbone that halves them less often",
        )


def _check_readout(recipe: Recipe) -> None:
    readout = recipe.method.readout
    if readout == "fused":
        if recipe.combiner is None or recipe.combiner.method("fuse") is None:
            raise ContractError('readout = "fused" needs a combiner with a method `fuse(heads)`')
    elif readout != "concat":
        head = recipe.model.heads[recipe.main_head]
        views = {"raw", "unit", *getattr(head, "view_names", ())}
        if readout not in views:
            offered = ", ".join(sorted(views))
            raise ContractError(
                f"readout = {readout!r}, but the head {recipe.main_head!r} has only {offered}",
                near=nearest(readout, views),
                way_out=f"a head that declares it: view_names = ({readout!r},)",
            )
