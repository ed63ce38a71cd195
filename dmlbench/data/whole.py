"""Whole pictures of all shapes in one array of lines.

Their shorter sides are equal, so a line across the longer side has the same number of pixels in all of them,
and a picture is as many lines as its longer side has pixels, one after another. One that is wider than high
is stored turned, its columns as lines. So boxes of many pictures are one indexed read, as with squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from dmlbench.data.crop import resized_crops
from dmlbench.data.device import on_device


@dataclass(frozen=True, eq=False)
class WholePictures:
    """Indexing with rows gives central squares, as a store of squares has them."""

    lines: UInt8[Tensor, "line side channel"]
    sizes: Int[Tensor, "item 2"]
    """Height and width of each picture; the smaller one is `side`."""

    def __len__(self) -> int:
        return len(self.sizes)

    def picture(self, row: int) -> UInt8[Tensor, "height width channel"]:
        """All of one picture."""
        lines = self.lines[int(self._starts[row]) :][: int(self._lengths[row])]
        return lines.transpose(0, 1) if self._wide[row] else lines

    def __getitem__(self, rows: Int[Tensor, " n"]) -> UInt8[Tensor, "n side side channel"]:
        """The central squares of `rows`; half of an odd rest is rounded as torchvision's `center_crop`."""
        side = self.lines.shape[1]
        first = ((self._lengths[rows] - side) / 2).round().long()
        return _turned(self._read(rows, first, side), self._wide[rows], (1, 2))

    def crops(
        self,
        rows: Int[Tensor, " n"],
        boxes: Int[Tensor, "n 4"],
        size: int,
        device: torch.device | str,
    ) -> Float[Tensor, "n channel size size"]:
        """Each box (top, left, height, width) of its picture resized to `size` x `size`, from 0 to 255.

        Only the lines that a box touches are read.
        """
        wide = self._wide[rows]
        # Along the lines' order, then across them.
        starts, lengths = (
            torch.where(wide[:, None], pair.flip(1), pair) for pair in (boxes[:, :2], boxes[:, 2:])
        )
        part = self._read(rows, starts[:, 0], int(lengths[:, 0].max()))
        within = torch.stack([torch.zeros_like(starts[:, 0]), starts[:, 1]], dim=1)
        seen = resized_crops(on_device(part, device), torch.cat([within, lengths], dim=1), size)
        upright = _turned(seen, wide.to(seen.device), (2, 3))
        return upright.contiguous(memory_format=torch.channels_last)

    def _read(
        self, rows: Int[Tensor, " n"], first: Int[Tensor, " n"], count: int
    ) -> UInt8[Tensor, "n count side channel"]:
        """`count` lines of each picture from its line `first` on; beyond its last line, that line again."""
        wanted = (first[:, None] + torch.arange(count)).minimum(self._lengths[rows, None] - 1)
        return self.lines[self._starts[rows, None] + wanted]

    @cached_property
    def _lengths(self) -> Int[Tensor, " item"]:
        return self.sizes.amax(dim=1)

    @cached_property
    def _starts(self) -> Int[Tensor, " item"]:
        return self._lengths.cumsum(0) - self._lengths

    @cached_property
    def _wide(self) -> Bool[Tensor, " item"]:
        return self.sizes[:, 1] > self.sizes[:, 0]


def _turned(
    values: Shaped[Tensor, n * dims], wide: Bool[Tensor, " n"], axes: tuple[int, int]
) -> Shaped[Tensor, n * dims]:
    """`values` with the two axes swapped where a picture is wide."""
    return torch.where(wide.view(-1, *[1] * (values.ndim - 1)), values.transpose(*axes), values)
