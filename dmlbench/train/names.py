"""The names that a signature may ask for. This table is public API: a test pins it.

A parameter name is a request. Each name exists at certain moments only; `READABLE` says which scopes a
component's method may read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """`scope` says when the name exists; `doc` gives its shape and meaning in one line."""

    scope: str
    doc: str
    way_out: str = ""
    """What to add to a recipe that does not provide it."""


NAMES: dict[str, Name] = {
    # facts: known before training, also for constructors
    "num_classes": Name("fact", "int: classes in the training split"),
    "embedding_dim": Name("fact", "int: width of the main head's embedding"),
    "feature_dim": Name("fact", "int: width of the backbone's feature"),
    "map_widths": Name(
        "fact", "dict of str -> int: channels of each named map", "a backbone that says what its maps have"
    ),
    "teacher_dim": Name(
        "fact", "int: width of the teacher's embedding", "a [teacher] in the recipe that says its width"
    ),
    "num_samples": Name("fact", "int: training images"),
    "class_counts": Name("fact", "Int[num_classes]: training images of each class, as first labelled"),
    "num_labels": Name("fact", "int: labels that images may have", "a multi-label protocol"),
    "label_counts": Name(
        "fact", "Int[num_labels]: training images that have each label, maybe none", "a multi-label protocol"
    ),
    "steps": Name("fact", "int: main steps of full batches in the budget; smaller batches make more"),
    "epoch_steps": Name("fact", "int: steps in an epoch, floor(num_samples / batch_size)"),
    "batch_size": Name("fact", "int: the track's images per step"),
    "image_size": Name("fact", "int: side of the input images in pixels"),
    "image_channels": Name("fact", "int: 1 for grey, 3 for colour, or the number of bands"),
    "term_names": Name("fact", "tuple of str: the recipe's terms, in order"),
    "term_heads": Name("fact", "tuple of str: the head of each term"),
    # run: may change while training
    "train_labels": Name("run", "Int[num_samples]: current label of every training image, -1 = left out"),
    "by_class": Name("run", "dict of class -> Int[n]: training indices by current label"),
    "train_relevance": Name(
        "run", "Bool[num_samples num_labels]: labels of every training image", "a multi-label protocol"
    ),
    "train_indices": Name("run", "Int[n]: the training images that are not left out, ascending"),
    "train_domain": Name(
        "run",
        "Int[num_samples]: domain of every training image",
        "a protocol that shows domains, e.g. cross-modal/v1",
    ),
    "train_superclass": Name(
        "run",
        "Int[num_samples]: superclass of every training image",
        "a protocol that shows superclasses, e.g. zero-shot-superclass/v1",
    ),
    # step
    "epoch": Name("step", "int: 0, 1, …"),
    "step": Name("step", "int: 0, 1, … over the whole run"),
    "progress": Name("step", "float from 0 to about 1: share of the image budget used"),
    "generator": Name("step", "torch.Generator (CPU): derived from seed, component, event and step"),
    # batch: one row a drawn image
    "images": Name("input", "Float[rows channel height width]: augmented, normalised images"),
    "domain": Name(
        "input", "Int[rows]: domain of each image", "a protocol that shows domains, e.g. cross-modal/v1"
    ),
    "indices": Name("rows", "Int[rows]: training index of the image each row came from"),
    "features": Name("batch", "Float[rows feature_dim]: backbone feature of the images"),
    "feature_maps": Name(
        "batch", "dict of str -> tensor: named maps of the backbone", "a backbone that returns maps"
    ),
    "heads": Name("batch", "dict of head name -> Float[rows dim]: unit embeddings of the images"),
    # rows: the rows a term or miner sees, synthetic ones after real ones
    "embeddings": Name("rows", "Float[rows dim]: the view that the term asks for (unit unless said)"),
    "labels": Name("rows", "Int[rows]: class of each row"),
    "first_labels": Name(
        "rows", "Int[rows]: class of each row as first labelled, whatever `relabel` answered"
    ),
    "relevance": Name("rows", "Bool[rows labels]: multi-hot labels", "a multi-label protocol"),
    "raw": Name("rows", "Float[rows dim]: before normalisation", "rows = 'real', or no augmenter at 'unit'"),
    "unit": Name("rows", "Float[rows dim]: L2-normalised"),
    "ball": Name("rows", "Float[rows dim]: in the Poincaré ball", "a head with a ball view"),
    "source": Name("rows", "Int[rows]: position in the batch of the image each row came from"),
    "is_synthetic": Name("rows", "Bool[rows]: rows made by an augmenter"),
    "teacher": Name(
        "rows", "Float[rows dim]: the teacher's embedding of the same pixels", "a [teacher] in the recipe"
    ),
    "weights": Name("mined", "Float[rows]: weight of each row", "a miner that yields weights"),
    # pairs: anchors x refs
    "anchors": Name("pairs", "Float[anchors dim]: the term's rows, in its view"),
    "refs": Name("pairs", "Float[refs dim]: what anchors are compared with, in the term's view"),
    "ref_labels": Name("pairs", "Int[refs]: class of each ref"),
    "ref_relevance": Name(
        "pairs", "Bool[refs labels]: multi-hot labels of each ref", "a multi-label protocol"
    ),
    "similarity": Name("pairs", "Float[anchors refs]: cosine"),
    "positives": Name(
        "pairs", "Bool[anchors refs]: same class, or a label shared; itself left out, by index"
    ),
    "negatives": Name("pairs", "Bool[anchors refs]: another class, or no label shared"),
    "pairs": Name("mined", "Pairs: what the miner chose", "a miner that yields pairs"),
    "triplets": Name("mined", "Triplets: what the miner chose", "a miner that yields triplets"),
    # services
    "embed": Name(
        "service", "embed(indices) -> Float[n dim]: raw, evaluation mode, no gradient; costs forwards"
    ),
    "embed_all": Name("service", "embed_all() -> Float[num_samples dim]: raw, evaluation mode, no gradient"),
    "head": Name(
        "forward",
        "head(features) -> Float[n dim]: the main head's raw embedding, with gradient",
        "a main head that reads features, not maps",
    ),
    "to_view": Name("forward", "to_view(raw, 'unit') -> that view of raw embeddings"),
    "parameters": Name("forward", "dict of str -> Parameter: trunk and heads"),
    # parts
    "parts": Name("parts", "dict of term -> scalar: unweighted values of this step"),
    "valid": Name("parts", "dict of term -> bool: whether the term had anything to count"),
}

IN_PLACE_OF = {
    "num_classes": "num_labels",
    "class_counts": "label_counts",
    "labels": "relevance",
    "first_labels": "relevance",
    "ref_labels": "ref_relevance",
    "train_labels": "train_relevance",
    "by_class": "train_relevance",
}
"""Names that only exist where images have one class -> what stands in their place where they have labels."""
ONE_CLASS, SEVERAL_LABELS = frozenset(IN_PLACE_OF), frozenset(IN_PLACE_OF.values())

_EVENT = {"fact", "run", "step", "service"}
_ROWS = {"fact", "run", "step", "input", "batch", "rows", "pairs"}

READABLE: dict[str, set[str]] = {
    "__init__": {"fact"},
    "draw": _EVENT,
    "backbone": {"input"},
    "head": {"batch"},
    "augment_images": {"fact", "run", "step", "input", "rows"},
    "augment": _ROWS | {"service", "forward", "mined"},
    "mine": _ROWS,
    "loss": _ROWS | {"forward", "mined"},
    "combine": {"fact", "step", "batch", "parts"},
    "fuse": {"batch"},
    "hold": {"fact", "step"},
    "dropped": {"fact", "run"},
    "on_train_start": _EVENT,
    "relabel": _EVENT,
    "on_epoch_start": _EVENT,
    "before_main": _ROWS | {"service", "forward", "mined"},
    "after_step": _ROWS | {"service", "forward", "mined", "parts"},
}

EVENTS = ("on_train_start", "relabel", "on_epoch_start", "before_main", "after_step")
"""Optional methods of every component, called in recipe order. There is no `on_step`."""
