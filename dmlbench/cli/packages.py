"""The files of a new plugin package, rendered from `dmlbench/templates/`, and written all or none."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Mapping
from pathlib import Path

import jinja2

from dmlbench import __version__
from dmlbench.errors import UsageError

#: Path in the package's folder: template. A kind that lacks a template lacks the file.
_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    ".gitignore": "gitignore",
    ".github/workflows/test.yml": "workflow.yml",
    "tests/test_conformance.py": "test_conformance.py",
    "{package}/__init__.py": "{kind}/descriptor.py",
    "{package}/{kind}.py": "{kind}/component.py",
    "{package}/recipe.toml": "{kind}/recipe.toml",
}


def render(kind: str, name: str, package: str, base: str) -> dict[str, str]:
    """Text by path of every file of a package that offers the `kind` called `name`.

    `base` is the method that a recipe among them is compared with.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dmlbench", "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    files = {
        path.format(package=package, kind=kind): f"{template.format(kind=kind)}.j2"
        for path, template in _FILES.items()
    }
    there = set(environment.list_templates())
    values = {
        "kind": kind,
        "a_kind": f"an {kind}" if kind[0] in "aeiou" else f"a {kind}",
        "name": name,
        "package": package,
        "function": package,
        "class_name": "".join(part.capitalize() for part in package.split("_")),
        "base": base,
        "file": "recipe.toml" if kind == "method" else f"{kind}.py",
        "recipe": f"{kind}/recipe.toml.j2" in there,
        "requires_python": importlib.metadata.metadata("dmlbench")["Requires-Python"],
        "dmlbench_version": ".".join(__version__.split(".")[:2]),
    }
    return {
        path: environment.get_template(template).render(values)
        for path, template in files.items()
        if template in there
    }


def write_folder(target: Path, texts: Mapping[str, str]) -> None:
    """Write `texts` as the files of the folder `target`: beside it first, then by one rename.

    Raises `UsageError` when there is something at `target` already; an empty folder is nothing.
    """
    if target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir()))):
        raise UsageError(
            "there is something already, and nothing is overwritten",
            place=target,
            way_out="another name, or another folder with --to",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as work:
        made = Path(work) / target.name
        for path, text in texts.items():
            file = made / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="")
        if target.exists():
            target.rmdir()
        made.rename(target)
