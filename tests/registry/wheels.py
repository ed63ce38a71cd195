"""Small plugin distributions as wheels, good and bad: what `pip install` gets from a stranger."""

from __future__ import annotations

import textwrap
import zipfile
from pathlib import Path

_HEAD = "from dmlbench.api import LossPlugin, hookimpl\n\n"
_HOOK = """
    @hookimpl
    def dmlbench_losses():
        yield LossPlugin(id="{id}", target="{module}.maths:ring", summary="Proxies on a circle.")
"""
MATHS = '''
    """Mean similarity of pairs of different classes."""

    def ring(similarity, negatives, *, margin: float = 0.2):
        return (similarity - margin).clamp(min=0)[negatives].mean()
'''


def offering(module: str, id: str = "ring", *, before: str = "", hook: str = _HOOK) -> str:
    """A plugin module that offers one loss; `before` runs first."""
    return textwrap.dedent(before) + _HEAD + textwrap.dedent(hook).format(id=id, module=module)


#: The code of each distribution's module. Between them they do all that must cost nobody but themselves.
CODE = {
    "good-losses": offering("good_losses"),
    "raising-losses": offering("raising_losses", before="def start():\n    1 / 0\n\nstart()\n"),
    "misspelt-losses": offering("misspelt_losses", hook=_HOOK.replace("dmlbench_losses", "dmlbench_loses")),
    "mistyped-losses": offering("mistyped_losses", hook=_HOOK.replace("LossPlugin(", "dict(")),
    "twin-losses": offering("twin_losses", "twin"),
    "other-twin": offering("other_twin", "twin"),
    "heavy-losses": offering("heavy_losses", "heavy", before="import torch\n"),
    "leaving-losses": offering("leaving_losses", before="import sys\nsys.exit(0)\n"),
    "foreign-losses": offering(
        "foreign_losses", before="from dmlbench.api import Nothing\nDMLBENCH_API = 2\n"
    ),
}


def write_wheel(folder: Path, name: str, code: str, *, version: str = "0.3", entries: str = "") -> Path:
    """The wheel of a distribution whose package offers `code`, and a loss `maths:ring` to offer.

    `entries` are further lines of entry points.
    """
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": code,
        f"{module}/maths.py": textwrap.dedent(MATHS),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[dmlbench]\nplugin = {module}\n{entries}",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD"))
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path
