import json
import shutil
import zipfile

import pytest
from PIL import Image


def test_data_is_prepared_once_and_verified(project, dmlbench):
    first = dmlbench("data", "prepare", "tiny")
    again = dmlbench("data", "prepare", "tiny")
    assert (first.status, again.status) == (0, 0)
    assert first.out == again.out
    assert "4,887 pictures of 16 x 16" in first.out
    assert "4,887 pictures of 16 x 16, fingerprint sha256:" in dmlbench("data", "verify", "tiny").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prepare", "emojy"], "near emoji"),
        (["verify", "emojy"], "near emoji"),
        (["prepare", "tiny", "--track", "tinny"], "near tiny"),
        (["prepare", "omniglot"], "dmlbench data prepare omniglot --download"),
        (["prepare", "omniglot", "--from", "nowhere"], "no such folder"),
        (["prepare", "omniglot", "--from", "."], "images_background"),
        (["verify", "omniglot"], "dmlbench data prepare omniglot"),
    ],
)
def test_what_is_not_there_is_named_with_the_way_out(
    project, dmlbench, monkeypatch, tmp_path, arguments, said
):
    monkeypatch.setenv("DMLBENCH_HOME", str(tmp_path / "empty"))
    done = dmlbench("data", *arguments)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err


def test_verify_counts_the_sides_and_names_pictures_on_two(project, dmlbench, tmp_path):
    done = dmlbench("data", "verify", "tiny", "--sheet", tmp_path / "sheet.png")
    assert done.status == 0
    assert "on more than one side: " in done.out  # some of Noto's families are one drawing
    told = json.loads(dmlbench("data", "verify", "tiny", "--json").out)
    assert told["task"] == "tiny"
    assert sum(side["pictures"] for side in told["sides"].values()) == 4887
    assert told["sides"]["train"]["classes"] == 163
    assert f"{told['shared']} pictures" in done.out
    for group in told["shared_first"]:
        assert len(group) > 1
        for side, paths in group.items():
            assert all(f"{side} {path}" in done.out for path in paths)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"


@pytest.fixture
def omniglot(project, class_folders, tmp_path, monkeypatch):
    """Omniglot's two archives as a server has them, and a task for the few characters in them."""
    monkeypatch.setenv("DMLBENCH_HOME", str(tmp_path / "empty"))
    class_folders(project / "p", 8, 3, names="{}")
    (project / "served").mkdir()
    for n, name in enumerate(("images_background", "images_evaluation")):
        with zipfile.ZipFile(project / "served" / f"{name}.zip", "w") as archive:
            for file in (project / "p").glob(f"[{n}{n + 2}{n + 4}{n + 6}]/*.png"):
                archive.write(file, f"{name}/{file.parent.name}/character01/{file.name}")
    (project / "local" / "tasks" / "few.toml").write_text(
        'id = "few"\nsummary = ""\ntrack = "tiny"\n'
        'dataset = { component = "dmlbench:omniglot", settings = { check = false } }\n'
        'split = { rule = "official", seed = 0, validation_groups = 2 }\n'
    )
    return project / "served"


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_is_unpacked_and_prepared(omniglot, dmlbench, project, kind):
    shutil.make_archive(str(project / "all"), {"zip": "zip", "tar.gz": "gztar"}[kind], omniglot)
    done = dmlbench("data", "prepare", "few", "--from", f"all.{kind}")
    assert done.status == 0, done.err
    assert "few: 24 pictures of 16 x 16" in done.out
    again = dmlbench("data", "prepare", "few", "--from", omniglot)
    assert again.out == done.out  # the same pictures, the same store


def test_a_hostile_archive_is_refused(omniglot, dmlbench, project):
    with zipfile.ZipFile(project / "all.zip", "w") as archive:
        archive.writestr("../../evil", "evil")
    done = dmlbench("data", "prepare", "few", "--from", "all.zip")
    assert (done.status, done.out) == (2, "")
    assert "'../../evil' leads out of the folder" in done.err
    assert not list(project.parent.rglob("evil"))


def test_files_are_fetched_once_and_prepared(omniglot, dmlbench, project, monkeypatch):
    from dmlbench_plugins.datasets.omniglot import Omniglot

    from dmlbench.api import Download

    names = ("images_background.zip", "images_evaluation.zip")
    published = tuple(
        Download((omniglot / name).as_uri(), name, terms="not to be sold (LICENSE)") for name in names
    )
    monkeypatch.setattr(Omniglot, "downloads", published)
    command = ("data", "prepare", "few", "--download")
    refused = dmlbench(*command)
    assert refused.status == 2
    assert "not to be sold (LICENSE)" in refused.err
    assert "--accept-terms" in refused.err
    assert dmlbench(*command, "--accept-terms").status == 0
    shutil.rmtree(omniglot)
    assert "few: 24 pictures" in dmlbench(*command).out
    assert sorted(p.name for p in (project / "empty/data/downloads/few").glob("[!.]*")) == sorted(names)
