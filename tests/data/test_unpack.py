"""Archives, sound and hostile."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from dmlbench.data import unpack as module
from dmlbench.data.unpack import is_archive, unpack
from dmlbench.errors import DataError

FILES = {"set/list.txt": b"a list", "set/pictures/a.png": os.urandom(5000), "set/pictures/b.png": b""}
KINDS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tgz")


def made(path: Path, files: dict[str, bytes | None]) -> Path:
    """An archive of the kind that its name says; None is a folder."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content or b"")
        return path
    packed = {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(path.suffix, "")
    with tarfile.open(path, f"w:{packed}") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
    return path


def files_in(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def left(root: Path) -> list[str]:
    """What lies in the root but archives and locks."""
    return sorted(p.name for p in root.iterdir() if not p.name.endswith(".lock") and not is_archive(p))


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


def test_what_was_packed_comes_out(tmp_path, kind):
    told = []
    archive = made(tmp_path / f"a.{kind}", {"set/": None, **FILES})
    assert is_archive(archive)
    unpack(archive, tmp_path / "out", progress=lambda *at: told.append(at))
    assert files_in(tmp_path / "out") == FILES
    assert told[-1] == ("set/pictures/b.png", sum(map(len, FILES.values())))
    assert left(tmp_path) == ["out"]


def test_a_kind_is_known_by_its_content(tmp_path, kind):
    archive = made(tmp_path / f"a.{kind}", FILES).rename(tmp_path / "download")
    assert is_archive(archive)
    unpack(archive, tmp_path / "out")
    assert files_in(tmp_path / "out") == FILES


def test_a_folder_that_is_there_is_left_alone(tmp_path, kind):
    (tmp_path / "out").mkdir()
    unpack(made(tmp_path / f"a.{kind}", FILES), tmp_path / "out")
    assert files_in(tmp_path / "out") == {}


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/evil", "\\evil", "a\\..\\..\\evil", "C:\\evil", "c:evil", ".."],
)
def test_a_name_that_leads_out_is_refused(tmp_path, kind, name):
    archive = made(tmp_path / f"a.{kind}", {**FILES, name: b"evil"})
    with pytest.raises(DataError, match="leads out of the folder") as caught:
        unpack(archive, tmp_path / "in" / "out")
    assert caught.value.place == str(archive)
    assert "unpack it yourself" in caught.value.way_out
    assert [path for path in tmp_path.rglob("*") if "evil" in path.name] == []
    assert left(tmp_path / "in") == []


LINKS = {
    "a symbolic link out": (tarfile.SYMTYPE, "../../secret"),
    "an absolute link": (tarfile.SYMTYPE, "/etc/passwd"),
    "a link inside": (tarfile.SYMTYPE, "list.txt"),
    "a hard link out": (tarfile.LNKTYPE, "../secret"),
    "a hard link inside": (tarfile.LNKTYPE, "set/list.txt"),
    "a device": (tarfile.CHRTYPE, ""),
    "a block device": (tarfile.BLKTYPE, ""),
    "a pipe": (tarfile.FIFOTYPE, ""),
}


@pytest.mark.parametrize("link", LINKS)
def test_links_and_devices_in_a_tar_file_are_refused(tmp_path, link):
    (tmp_path / "secret").write_text("secret")
    archive = made(tmp_path / "a.tar", FILES)
    info = tarfile.TarInfo("set/link")
    info.type, info.linkname = LINKS[link]
    with tarfile.open(archive, "a") as file:
        file.addfile(info)
    with pytest.raises(DataError, match="'set/link' is a link or a device"):
        unpack(archive, tmp_path / "in" / "out")
    assert left(tmp_path / "in") == []


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO], ids=["link", "device", "pipe"])
def test_links_and_devices_in_a_zip_file_are_refused(tmp_path, mode):
    info = zipfile.ZipInfo("set/link")
    info.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "../../secret")
        archive.writestr("set/link/inside", "through the link")
    with pytest.raises(DataError, match="'set/link' is a link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "names",
    [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a/./b", "a//b")],
    ids=lambda names: " and ".join(names),
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_name_that_is_there_twice_is_refused(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    with pytest.raises(DataError, match="is there twice, or in a file"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert left(tmp_path) == []


def test_a_bomb_is_stopped(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(module, "ALLOWANCE", 100_000)
    archive = made(tmp_path / f"a.{kind}", {"bomb": bytes(40_000_000), "rest": b""})
    if kind == "tar":  # it does not grow
        unpack(archive, tmp_path / "out")
        return
    written = []
    with pytest.raises(DataError, match=r"more than [0-9,]+ bytes"):
        unpack(archive, tmp_path / "out", progress=lambda *at: written.append(at))
    assert left(tmp_path) == []
    assert written == []  # no file was ever whole


def test_what_is_declared_is_the_bound(tmp_path, kind):
    archive = made(tmp_path / f"a.{kind}", FILES)
    size, files = sum(map(len, FILES.values())), len(FILES)
    with pytest.raises(DataError, match=f"would make more than {size - 1:,} bytes"):
        unpack(archive, tmp_path / "out", most_bytes=size - 1)
    with pytest.raises(DataError, match=f"is one more than {files - 1} files and folders"):
        unpack(archive, tmp_path / "out", most_files=files - 1)
    assert left(tmp_path) == []
    unpack(archive, tmp_path / "out", most_bytes=size, most_files=files)
    assert files_in(tmp_path / "out") == FILES


def test_a_zip_file_that_understates_what_is_in_it_is_stopped(tmp_path):
    archive = made(tmp_path / "a.zip", {"a": bytes(1_000_000)})
    content = archive.read_bytes()
    for size in (1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"):
        if size == (1_000_000).to_bytes(4, "little"):
            assert content.count(size) == 2
            content = content.replace(size, (10).to_bytes(4, "little"))
    archive.write_bytes(content)
    with pytest.raises(DataError, match="no complete archive: Bad CRC-32"):
        unpack(archive, tmp_path / "out", most_bytes=100)
    assert left(tmp_path) == []


def test_a_header_that_is_a_bomb_is_stopped(tmp_path, monkeypatch):
    """A tar file's own header may be of any size, and is read at once."""
    monkeypatch.setattr(module, "ALLOWANCE", 100_000)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a")
        info.pax_headers = {"comment": "x" * 30_000_000}
        archive.addfile(info)
    with pytest.raises(DataError, match="'what is in it' is more than"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert left(tmp_path) == []


def test_what_is_passed_over_counts_too(tmp_path, monkeypatch):
    """Zeros after a tar file's end."""
    monkeypatch.setattr(module, "ALLOWANCE", 100_000)
    plain = made(tmp_path / "a.tar", FILES).read_bytes()
    with gzip.open(tmp_path / "b.tar.gz", "wb") as file:
        file.write(plain + bytes(30_000_000))
    with pytest.raises(DataError, match="is more than"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out")


@pytest.mark.parametrize("share", [0, 0.3, 0.7, 0.97])
def test_a_cut_archive_is_named_and_leaves_nothing(tmp_path, kind, share):
    archive = made(tmp_path / f"a.{kind}", {f"{n}": os.urandom(20_000) for n in range(20)})
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content)) // 512 * 512])
    with pytest.raises(DataError, match=f"a.{kind} is no complete archive") as caught:
        unpack(archive, tmp_path / "out")
    assert caught.value.place == str(archive)
    assert left(tmp_path) == []


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_a_tar_file_that_is_cut_between_two_members_is_named(tmp_path, kind):
    plain = made(tmp_path / "whole.tar", {f"{n}": os.urandom(5120) for n in range(3)}).read_bytes()
    cut = plain[: 2 * (512 + 5120)]
    (tmp_path / f"a.{kind}").write_bytes(gzip.compress(cut) if kind == "tar.gz" else cut)
    with pytest.raises(DataError, match="no complete archive: its end is missing"):
        unpack(tmp_path / f"a.{kind}", tmp_path / "out")


def test_damaged_bytes_are_found_where_the_format_has_sums(tmp_path, kind):
    if kind == "tar":
        pytest.skip("a plain tar file has sums of its headers alone")
    archive = made(tmp_path / f"a.{kind}", {f"{n}": os.urandom(20_000) for n in range(20)})
    content = bytearray(archive.read_bytes())
    # Several: one alone may say in another way that zeros repeat.
    middle = slice(len(content) // 2, len(content) // 2 + 64)
    content[middle] = bytes(byte ^ 0xFF for byte in content[middle])
    archive.write_bytes(content)
    with pytest.raises(DataError, match="no complete archive"):
        unpack(archive, tmp_path / "out")
    assert left(tmp_path) == []


def test_an_encrypted_zip_file_is_refused(tmp_path):
    archive = made(tmp_path / "a.zip", {"a": b"content"})
    content = bytearray(archive.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match="'a' is encrypted"):
        unpack(archive, tmp_path / "out")


def test_other_files_are_no_archives(tmp_path):
    (tmp_path / "a").write_bytes(os.urandom(2000))
    (tmp_path / "b.csv").write_text("path,label\n")
    (tmp_path / "c.ndjson.gz").write_bytes(gzip.compress(b"{}" * 1000))
    for name in ("a", "b.csv", "c.ndjson.gz"):
        assert not is_archive(tmp_path / name)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, kind, monkeypatch):
    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    opened = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, mode="r", *a: Full() if mode == "xb" else opened(self, mode, *a)
    )
    with pytest.raises(DataError, match="cannot be unpacked: No space left on device"):
        unpack(made(tmp_path / f"a.{kind}", FILES), tmp_path / "out")
    monkeypatch.undo()
    assert left(tmp_path) == []


def test_what_a_killed_process_left_is_no_hindrance(tmp_path, kind):
    (tmp_path / ".out.unpacking" / "set").mkdir(parents=True)
    (tmp_path / ".out.unpacking" / "set" / "list.txt").write_text("half")
    unpack(made(tmp_path / f"a.{kind}", FILES), tmp_path / "out")
    assert files_in(tmp_path / "out") == FILES
    assert left(tmp_path) == ["out"]
