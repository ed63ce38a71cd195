"""Embedding images in evaluation mode, without augmentation: for scoring, and for components that ask."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from dmlbench.data.augment import to_input
from dmlbench.data.whole import WholePictures
from dmlbench.errors import ContractError
from dmlbench.spec.method import Method
from dmlbench.spec.track import ImagePipeline
from dmlbench.train.component import Built
from dmlbench.train.images import TrainingImages
from dmlbench.train.model import Model
from dmlbench.train.randomness import generator
from dmlbench.train.recipe import Recipe
from dmlbench.train.scope import Scope

CHUNK = 256
"""Images per evaluation pass; small enough for a laptop's cache, large enough for an accelerator."""


@torch.no_grad()
def embed_rows(
    recipe: Recipe,
    store: UInt8[Tensor, "all height width channel"] | WholePictures,
    rows: Int[Tensor, " n"],
    columns: Mapping[str, Int[Tensor, " n"]],
    pipeline: ImagePipeline,
) -> Float[Tensor, "n dim"]:
    """What is scored, in fp32 on the CPU, for the store's `rows`; leaves the model in evaluation mode."""
    recipe.model.eval()
    chunks = []
    for part in torch.arange(len(rows)).split(CHUNK):
        images = to_input(store[rows[part]], pipeline, recipe.device)
        shown = {name: column[part].to(recipe.device) for name, column in columns.items()}
        features, maps = recipe.model.features(Scope(values={"images": images, **shown}))
        chunks.append(read_out(recipe.model, recipe.method, features, maps, recipe.combiner).float().cpu())
    return torch.cat(chunks)


@torch.no_grad()
def embed_images(
    network: nn.Module,
    store: UInt8[Tensor, "all height width channel"] | WholePictures,
    rows: Int[Tensor, " n"],
    pipeline: ImagePipeline,
) -> Float[Tensor, "n dim"]:
    """What a network of images alone makes of the store's `rows`, in fp32 on the CPU, in evaluation mode."""
    network.eval()
    device = next(network.parameters()).device
    chunks = [network(to_input(store[part], pipeline, device)).float().cpu() for part in rows.split(CHUNK)]
    return torch.cat(chunks)


@torch.no_grad()
def embed_views(
    recipe: Recipe, images: TrainingImages, count: int, seed: int
) -> Float[Tensor, "n count dim"]:
    """As `embed_rows`, of `count` views of each image, changed at random as in training."""
    model = recipe.model.eval()
    views = []
    for view in range(count):
        drawn = generator(seed, "augment", "views", step=view)
        chunks = []
        for part in torch.arange(len(images.labels)).split(CHUNK):
            features, maps = model.features(Scope(values={"images": images.augmented(part, drawn)}))
            chunks.append(read_out(model, recipe.method, features, maps, recipe.combiner).float().cpu())
        views.append(torch.cat(chunks))
    return torch.stack(views, dim=1)


@torch.no_grad()
def embed_training_images(
    recipe: Recipe, images: TrainingImages, indices: Int[Tensor, " n"]
) -> Float[Tensor, "n dim"]:
    """Raw main-head embeddings by training index; leaves the model in evaluation mode."""
    model = recipe.model.eval()
    chunks = []
    for chunk in indices.cpu().split(CHUNK):
        columns = {name: column[chunk].to(recipe.device) for name, column in images.columns.items()}
        features, maps = model.features(Scope(values={"images": images.plain(chunk), **columns}))
        chunks.append(model.embed(features, recipe.main_head, maps))
    return torch.cat(chunks)


def read_out(
    model: Model,
    method: Method,
    features: Float[Tensor, "rows feature"],
    maps: Mapping[str, Tensor],
    combiner: Built | None,
) -> Float[Tensor, "rows dim"]:
    """What of a method is scored. `ContractError` when there is no such view."""
    readout = method.readout
    views = {head: model.views(model.embed(features, head, maps), head) for head in model.heads}
    if readout == "concat":
        return torch.cat([view["unit"] for view in views.values()], dim=1)
    if readout == "fused":
        fuse = combiner.method("fuse") if combiner else None
        if combiner is None or fuse is None:
            raise ContractError('readout = "fused" needs a combiner with a method `fuse(heads)`')
        heads = {head: view["unit"] for head, view in views.items()}
        return combiner.call("fuse", Scope(values={"heads": heads}), fuse)
    main = views[model.main_head]
    if readout not in main:
        raise ContractError(f"readout = {readout!r}, but the main head has only {', '.join(sorted(main))}")
    return main[readout]
