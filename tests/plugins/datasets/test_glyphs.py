from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from dmlbench_plugins.datasets import glyphs as module
from dmlbench_plugins.datasets.glyphs import FACES, LOOK_ALIKES, Glyphs, base_letter, candidates, drawn_by
from PIL import Image

import dmlbench
from dmlbench.api import Item, MissingPackageError
from dmlbench.data.pictures import fingerprint
from dmlbench.data.split import split_items
from dmlbench.spec.task import Task
from dmlbench.spec.toml import load_spec

TASK = load_spec(Task, Path(dmlbench.__file__).parent / "protocols" / "tasks" / "glyphs.toml")


@pytest.fixture(scope="module")
def glyphs() -> Glyphs:
    # matplotlib itself is not imported: what it does then is no concern of ours
    for package in ("justmytype_western_core", "fontTools"):
        pytest.importorskip(package, reason="the extra `glyphs` is not installed")
    if module.find_spec("matplotlib") is None:
        pytest.skip("the extra `glyphs` is not installed")
    return Glyphs()


@pytest.fixture(scope="module")
def items(glyphs) -> list[Item]:
    return glyphs.items()


@pytest.fixture(scope="module")
def by_path(items) -> dict[str, Item]:
    return {item.path: item for item in items}


def test_there_are_965_characters_of_308_base_letters_in_38_faces(items):
    pictures = Counter(item.label for item in items)
    assert (len(items), len(pictures)) == (30260, 965)
    assert (min(pictures.values()), max(pictures.values())) == (20, 38)
    assert len({item.path.rpartition("/")[0] for item in items}) == len(FACES) == 38
    assert len({item.group for item in items}) == 308
    assert [item.path for item in items] == sorted({item.path for item in items})
    assert {item.superclass for item in items} == {"latin", "greek", "cyrillic", "digit"}


def test_families_have_four_styles_but_for_the_one_without_an_italic(items):
    styles = defaultdict(set)
    for item in items:
        styles[item.columns["domain"]].add(item.columns["style"])
    assert {family for family, own in styles.items() if len(own) < 4} == {"noto-sans-mono"}
    assert len(styles) == 10


def test_the_split_keeps_a_base_letter_on_one_side(items):
    sides = split_items(items, TASK.split)
    assert [len({item.label for item in side}) for side in sides.values()] == [387, 105, 473]
    groups = [{item.group for item in side} for side in sides.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_the_pictures_are_those_the_task_names(glyphs, items):
    sources = [(item, hashlib.sha256(glyphs.source(item)).hexdigest()) for item in items]
    assert fingerprint(sources) == TASK.fingerprint


@pytest.mark.parametrize(("one", "other"), [("e", "Ế"), ("E", "ȩ"), ("α", "Ά"), ("и", "Й"), ("s", "ſ")])
def test_accented_forms_and_capitals_share_a_base_letter(one, other):
    assert base_letter(one) == base_letter(other)


def test_other_letters_have_other_base_letters():
    assert len({base_letter(letter) for letter in "oøœɔоο"}) == 6


@pytest.mark.slow
def test_no_picture_is_the_box_of_a_missing_character(glyphs, items):
    """U+FFFE is no character: what is drawn for it is the box."""
    for face in FACES:
        name = f"{face.family}/{face.style}"
        assert "\ufffe" not in drawn_by(face.file)
        try:
            box = module.drawn("\ufffe", module._font(face, 96), 32).tobytes()
        except ValueError:  # its box is empty, and an empty drawing raises
            continue
        own = [item for item in items if item.path.startswith(f"{name}/")]
        assert not [item.path for item in own if glyphs.picture(item, 32).tobytes() == box], name


def test_a_character_that_a_face_lacks_is_no_item(by_path):
    """STIX has no Ạ."""
    assert "\u1ea0" in candidates()
    assert "\u1ea0" not in drawn_by("matplotlib:STIXGeneral.ttf")
    assert "dejavu-sans/regular/1ea0" in by_path
    assert "stix/regular/1ea0" not in by_path


def test_drawings_stand_in_the_middle_and_sizes_stay(glyphs, by_path):
    def ink(path: str) -> np.ndarray:
        picture = glyphs.picture(by_path[path], 32)
        assert (picture.mode, picture.size) == ("L", (32, 32))
        found = np.argwhere(np.asarray(picture) < 245)
        return np.array([found.min(axis=0), found.max(axis=0) + 1])

    for face in FACES:
        small, large = (ink(f"{face.family}/{face.style}/{code}") for code in ("006f", "004f"))
        for box in (small, large):
            assert np.abs(box.mean(axis=0) - 16).max() <= 1.5, face
        assert (small[1] - small[0])[0] < 0.85 * (large[1] - large[0])[0], face


def test_a_variable_font_is_set_to_its_weight(glyphs, by_path):
    for family in sorted({face.family for face in FACES}):
        light, bold = (
            255 - np.asarray(glyphs.picture(by_path[f"{family}/{style}/0048"], 32)).mean()
            for style in ("regular", "bold")
        )
        assert bold > 1.2 * light, family


def test_no_two_faces_draw_all_letters_alike(glyphs, by_path):
    pictures = Counter(
        b"".join(
            glyphs.picture(by_path[f"{face.family}/{face.style}/{ord(letter):04x}"], 32).tobytes()
            for letter in "aGRks7"
        )
        for face in FACES
    )
    assert max(pictures.values()) == 1


def test_drawings_at_another_size_are_the_same_drawings(glyphs, by_path):
    item = by_path["noto-serif/italic/0067"]
    large = glyphs.picture(item, 64).resize((32, 32), Image.Resampling.BOX)
    difference = np.asarray(large).astype(int) - np.asarray(glyphs.picture(item, 32))
    assert np.abs(difference).mean() < 4


@pytest.mark.slow
def test_left_out_are_those_that_a_tenth_of_the_faces_draw_like_an_earlier_character(glyphs):
    known = sorted(candidates())
    place = {character: number for number, character in enumerate(known)}
    alike = np.zeros((len(known), len(known)))
    both = np.zeros_like(alike)
    for face in FACES:
        own = [character for character in known if character in drawn_by(face.file)]
        font = module._font(face, 96)
        drawings = [np.asarray(module.drawn(character, font, 32)).ravel() for character in own]
        ink = 255 - np.stack(drawings).astype(np.float64)
        energy = (ink**2).sum(axis=1)
        apart = (energy[:, None] + energy - 2 * ink @ ink.T) / np.minimum(energy[:, None], energy)
        rows = [place[character] for character in own]
        alike[np.ix_(rows, rows)] += apart < 0.02
        both[np.ix_(rows, rows)] += 1
    share = alike / np.maximum(both, 1)
    kept: list[int] = []
    for number in range(len(known)):
        if (share[number, kept] < 0.1).all():
            kept.append(number)
    assert {known[number] for number in range(len(known))} - {known[number] for number in kept} == LOOK_ALIKES
    assert {"А", "Α", "о", "Ð"} - LOOK_ALIKES == {"Ð"}  # Cyrillic and Greek A, Cyrillic o; eth is the first


def test_versions_name_all_that_draws(glyphs):
    assert set(glyphs.versions()) == {*module.PACKAGES, "pillow", "freetype2"}


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    module.drawn_by.cache_clear()
    module.candidates.cache_clear()
    with pytest.raises(MissingPackageError, match="is not installed") as caught:
        Glyphs().items()
    assert caught.value.way_out == 'pip install "dmlbench[glyphs]"'


def test_importing_loads_neither_torch_nor_the_packages():
    heavy = "{'torch', 'matplotlib', 'fontTools', 'justmytype_western_core'}"
    code = f"import sys, dmlbench_plugins.datasets.glyphs; sys.exit(bool({heavy} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
