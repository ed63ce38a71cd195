"""Data sets with one fault each."""

import itertools
from dataclasses import replace

from PIL import Image

from dmlbench.api import Item

_asked = itertools.count()


class _Squares:
    needs_root = False
    downloads = ()

    def versions(self):
        return {}

    def items(self, root):
        return [Item(f"{n}", f"class {n // 2}", f"class {n // 2}") for n in range(6)]

    def source(self, item):
        return item.path.encode()

    def picture(self, item, size):
        picture = Image.new("RGB", (size, size), "white")
        picture.paste("black", (0, 0, 4 + int(item.path), 4))
        return picture


class TwoOfOnePath(_Squares):
    def items(self, root):
        found = super().items(root)
        return [*found, found[0]]


class OneClassInTwoGroups(_Squares):
    def items(self, root):
        first, *others = super().items(root)
        return [replace(first, group="elsewhere"), *others]


class AnotherPicture(_Squares):
    """A picture that depends on how often somebody asked."""

    def picture(self, item, size):
        picture = super().picture(item, size)
        picture.paste("black", (0, 8, 1 + next(_asked), 9))
        return picture


class Blank(_Squares):
    def picture(self, item, size):
        return Image.new("RGB", (size, size), "white")
