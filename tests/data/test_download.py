from __future__ import annotations

import hashlib

import pytest

from dmlbench.data.download import download
from dmlbench.data.items import Download
from dmlbench.errors import DataError

CONTENT = b"published bytes" * 1000


class Published:
    def __init__(self, *downloads: Download) -> None:
        self.downloads = downloads


@pytest.fixture
def url(tmp_path) -> str:
    (tmp_path / "upstream").write_bytes(CONTENT)
    return (tmp_path / "upstream").as_uri()


def test_a_file_with_the_right_sums_arrives(url, tmp_path):
    sums = {"md5": hashlib.md5(CONTENT).hexdigest(), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    seen = []
    published = Published(Download(url, "a.zip", size=len(CONTENT), **sums))
    download(published, tmp_path / "root", progress=lambda *at: seen.append(at))
    assert (tmp_path / "root" / "a.zip").read_bytes() == CONTENT
    assert seen[-1] == ("a.zip", len(CONTENT))


@pytest.mark.parametrize(
    "wrong", [{"md5": "0" * 32}, {"sha256": "0" * 64}, {"size": 7}], ids=lambda w: next(iter(w))
)
def test_another_file_than_published_is_refused_unless_unchecked(url, tmp_path, wrong):
    published = Published(Download(url, "a.zip", **wrong))
    with pytest.raises(DataError, match=r"a\.zip is not the published file"):
        download(published, tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []
    download(published, tmp_path / "root", check=False)
    assert (tmp_path / "root" / "a.zip").read_bytes() == CONTENT


def test_a_file_that_is_there_is_not_fetched(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"mine")
    download(Published(Download("file:///nowhere", "a.zip", md5="0" * 32)), tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == b"mine"


def test_a_dead_address_is_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.zip could not be fetched") as caught:
        download(Published(Download((tmp_path / "gone").as_uri(), "a.zip")), tmp_path / "root")
    assert caught.value.place.endswith("gone")


def test_a_set_without_downloads_says_so(tmp_path):
    with pytest.raises(DataError, match="publishes nothing that can be fetched"):
        download(Published(), tmp_path)
