"""Miniatures of data sets on disk, in the layouts that their authors publish."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photo() -> Callable[..., bytes]:
    """A soft colour field as the bytes of a picture file."""

    def make(seed: int = 0, size: tuple[int, int] = (40, 30), form: str = "JPEG", mode: str = "RGB") -> bytes:
        field = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(field).resize(size, Image.Resampling.BICUBIC).convert(mode).save(file, form)
        return file.getvalue()

    return make


@pytest.fixture(scope="session")
def written() -> Callable[[Path, Mapping[str, str | bytes]], Path]:
    """Put files below a folder."""

    def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return write


@pytest.fixture(scope="session")
def zipped() -> Callable[[Path, Path], Path]:
    """Pack a folder into a zip file, with what a Mac adds."""

    def pack(folder: Path, archive: Path) -> Path:
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        archive.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive, "w") as file:
            for name, content in sorted(files.items()):
                file.writestr(name, content)
                file.writestr(f"__MACOSX/{name}", b"")
        return archive

    return pack


@pytest.fixture(scope="session")
def test_data() -> Callable[[str], Path]:
    """A file of the folder of real data; the test is skipped where there is none."""

    def find(name: str) -> Path:
        given = os.environ.get("DMLBENCH_TEST_DATA")
        path = Path(given or "") / name
        if not (given and path.is_file()):
            pytest.skip(f"DMLBENCH_TEST_DATA does not name a folder with {name}")
        return path

    return find
