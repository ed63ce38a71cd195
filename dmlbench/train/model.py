"""Trunk and heads as one network: images to features to embeddings in their views."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from dmlbench.errors import ContractError
from dmlbench.train.component import Built
from dmlbench.train.numerics import Numerics
from dmlbench.train.scope import Scope
from dmlbench.train.values import ParamGroup

MAIN_HEAD = "main"
_BATCHNORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Model(nn.Module):
    """A backbone says its width in `feature_dim`, a head in `embedding_dim`.

    A backbone returns features, or (features, named maps). A head returns raw embeddings; `unit` is made
    from them, further views come from its method `views(raw)`, if it has one.
    """

    def __init__(
        self, backbone: Built, heads: Mapping[str, Built], numerics: Numerics, *, freeze_batchnorm: bool
    ) -> None:
        super().__init__()
        self.backbone = _module(backbone)
        self.heads = nn.ModuleDict({name: _module(head) for name, head in heads.items()})
        self._built_backbone = backbone
        self._built_heads = dict(heads)
        self._numerics = numerics
        self._freeze_batchnorm = freeze_batchnorm
        self.to(device=numerics.device, memory_format=torch.channels_last)

    def param_groups(self) -> list[ParamGroup]:
        """The groups that the backbone and the heads declare for themselves."""
        return [group for part in (self.backbone, *self.heads.values()) for group in _declared(part)]

    @property
    def main_head(self) -> str:
        """`main`, or the recipe's first head."""
        return MAIN_HEAD if MAIN_HEAD in self.heads else next(iter(self.heads))

    def train(self, mode: bool = True) -> Model:
        """As usual, but frozen BatchNorm layers stay in evaluation mode."""
        super().train(mode)
        if self._freeze_batchnorm:
            for module in self.modules():
                if isinstance(module, _BATCHNORM):
                    module.eval()
        return self

    def features(self, scope: Scope) -> tuple[Float[Tensor, "rows feature_dim"], dict[str, Tensor]]:
        """Features in fp32, and the backbone's named maps. `scope` holds `images` and their columns."""
        with self._numerics.autocast():
            out = self._built_backbone.call("backbone", scope)
        features, maps = out if isinstance(out, tuple) else (out, {})
        return features.float(), maps

    def embed(
        self, features: Float[Tensor, "rows feature_dim"], head: str, maps: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "rows dim"]:
        """Raw embeddings in fp32. `maps`: those that came with the features, for a head that reads them."""
        scope = Scope(values={"features": features, "feature_maps": maps})
        with self._numerics.autocast():
            raw = self._built_heads[head].call("head", scope)
        return raw.float()

    def views(self, raw: Float[Tensor, "rows dim"], head: str) -> dict[str, Float[Tensor, "rows dim"]]:
        """`raw`, `unit` and what the head adds, e.g. `ball`."""
        own = getattr(self.heads[head], "views", None)
        return {"raw": raw, "unit": functional.normalize(raw, dim=-1), **(own(raw) if own else {})}


def _declared(part: nn.Module) -> list[ParamGroup]:
    return list(part.param_groups()) if hasattr(part, "param_groups") else []


def _module(built: Built) -> nn.Module:
    width = "feature_dim" if built.entry.plugin.role == "backbone" else "embedding_dim"
    if built.module is None or not isinstance(getattr(built.module, width, None), int):
        raise ContractError(
            f"{built.name} does not say its width", way_out=f"a module with the integer attribute {width!r}"
        )
    return built.module
