"""Fetching over real sockets, from a server that behaves badly in the ways that servers do."""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dmlbench.data import part as module
from dmlbench.data.download import download
from dmlbench.data.items import Download
from dmlbench.errors import DataError

CONTENT = os.urandom(300_000)
OTHER = os.urandom(300_000)
SUM = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Manners:
    """How the server answers, and what it was asked for."""

    content: bytes = CONTENT
    etag: str = '"one"'
    ranges: bool = True
    """Whether it knows ranges."""
    breaks: list[int] = field(default_factory=list)
    """For each answer in turn, after how many bytes the connection breaks."""
    statuses: list[int] = field(default_factory=list)
    """Answers without content that come first."""
    kind: str = "application/zip"
    length: bool = True
    """Whether it says how long its answer is."""
    pause: float = 0.0
    """Seconds between two blocks."""
    wrong_start: int = 0
    """What it adds to the start of a range."""
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Path, `Range` and `If-Range` of every request."""


class Handler(http.server.BaseHTTPRequestHandler):
    manners: Manners

    def do_GET(self) -> None:
        manners = self.manners
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        manners.asked.append((self.path, wanted, condition))
        if manners.statuses:
            self.send_error(manners.statuses.pop(0))
            return
        start = 0
        if wanted and manners.ranges and condition in (None, manners.etag):
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(manners.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(manners.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start += manners.wrong_start
            self.send_response(206)
            last = len(manners.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(manners.content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", manners.kind)
        if manners.etag:
            self.send_header("ETag", manners.etag)
        body = manners.content[start:]
        if manners.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if manners.breaks:
            body = body[: manners.breaks.pop(0)]
        try:
            for at in range(0, len(body), 20_000):
                self.wfile.write(body[at : at + 20_000])
                time.sleep(manners.pause)
        except OSError:  # who asked has gone
            return
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def manners() -> Manners:
    return Manners()


@pytest.fixture
def server(manners) -> Iterator[str]:
    """Its address."""
    handler = type("TheHandler", (Handler,), {"manners": manners})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))


class Published:
    def __init__(self, *downloads: Download) -> None:
        self.downloads = downloads


def fetch(root: Path, url: str, *mirrors: str, **options: object) -> bytes:
    facts = {
        name: options.pop(name) for name in ("sha256", "md5", "size", "terms", "steps") if name in options
    }
    download(Published(Download(url, "a.zip", mirrors=mirrors, **facts)), root, **options)
    return (root / "a.zip").read_bytes()


def seen(root: Path) -> list[str]:
    """What is in the folder but locks."""
    return sorted(path.name for path in root.iterdir() if not path.name.endswith(".lock"))


def test_a_file_with_the_right_size_and_sums_arrives(server, tmp_path):
    sums = {"md5": hashlib.md5(CONTENT).hexdigest(), "sha256": SUM, "size": len(CONTENT)}
    told = []
    got = fetch(tmp_path / "root", server, **sums, progress=lambda *at: told.append(at))
    assert got == CONTENT
    assert told[-1] == ("a.zip", len(CONTENT))
    assert seen(tmp_path / "root") == ["a.zip"]


def test_a_file_address_works_as_well(tmp_path):
    (tmp_path / "upstream").write_bytes(CONTENT)
    assert fetch(tmp_path / "root", (tmp_path / "upstream").as_uri(), sha256=SUM) == CONTENT


@pytest.mark.parametrize("breaks", [[100_000], [1, 250_000], [50_000] * 5])
def test_a_broken_connection_is_taken_up_where_it_broke(server, manners, tmp_path, breaks):
    manners.breaks = list(breaks)
    assert fetch(tmp_path, server, sha256=SUM) == CONTENT
    starts = [0, *(sum(breaks[: n + 1]) for n in range(len(breaks)))]
    assert [wanted for _, wanted, _ in manners.asked] == [None, *(f"bytes={start}-" for start in starts[1:])]
    assert {condition for _, _, condition in manners.asked[1:]} == {'"one"'}


def test_a_short_answer_is_noticed_without_any_published_fact(server, manners, tmp_path):
    manners.breaks = [100_000]
    assert fetch(tmp_path, server) == CONTENT


def test_a_server_without_ranges_is_asked_for_all_of_it_again(server, manners, tmp_path):
    manners.ranges, manners.breaks = False, [100_000]
    assert fetch(tmp_path, server, sha256=SUM) == CONTENT
    assert len(manners.asked) == 2


def test_a_file_that_changed_meanwhile_is_begun_again(server, manners, tmp_path):
    manners.breaks = [100_000] + [0] * 3
    with pytest.raises(DataError, match="could not be fetched"):
        fetch(tmp_path, server)
    manners.content, manners.etag, manners.breaks = OTHER, '"two"', []
    assert fetch(tmp_path, server) == OTHER


def test_halves_of_two_files_are_told_by_the_sum_and_fetched_whole(server, manners, tmp_path):
    """A server that keeps its ETag while the file changes."""
    manners.content, manners.breaks = OTHER, [100_000] + [0] * 3
    with pytest.raises(DataError):
        fetch(tmp_path, server, sha256=SUM)
    manners.content, manners.breaks = CONTENT, []
    assert fetch(tmp_path, server, sha256=SUM) == CONTENT
    assert manners.asked[-1][1] is None


def test_without_anything_to_go_by_a_file_is_begun_again(server, manners, tmp_path):
    manners.etag, manners.breaks = "", [100_000]
    assert fetch(tmp_path, server) == CONTENT  # nothing says that the second half would fit
    assert {wanted for _, wanted, _ in manners.asked} == {None}


def process(url: str, root: Path) -> list[str]:
    """The command of a process that fetches in small blocks."""
    code = f"""
from pathlib import Path
from dmlbench.data import part
from dmlbench.data.download import download
from dmlbench.data.items import Download
part._BLOCK_BYTES = 20_000
class Published:
    downloads = (Download({url!r}, "a.zip", sha256={SUM!r}),)
download(Published(), Path({str(root)!r}))
"""
    return [sys.executable, "-c", code]


def test_a_part_stays_between_processes(server, manners, tmp_path):
    manners.breaks = [100_000] + [0] * 3
    with pytest.raises(DataError):
        fetch(tmp_path, server, sha256=SUM)
    assert seen(tmp_path) == [".a.zip.part", ".a.zip.part.json"]
    manners.asked.clear()
    subprocess.run(process(server, tmp_path), check=True)
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert [wanted for _, wanted, _ in manners.asked] == ["bytes=100000-"]
    assert seen(tmp_path) == ["a.zip"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_download_is_taken_up(server, manners, tmp_path):
    manners.pause = 0.02
    killed = subprocess.Popen(process(server, tmp_path))
    part = tmp_path / ".a.zip.part"
    while not part.exists() or part.stat().st_size < 40_000:
        assert killed.poll() is None
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    size = part.stat().st_size
    assert 0 < size < len(CONTENT)
    manners.pause = 0
    assert fetch(tmp_path, server, sha256=SUM) == CONTENT
    assert manners.asked[-1][1] == f"bytes={size}-"


def test_a_part_that_was_whole_is_not_fetched_again(server, manners, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module.Part, "finish", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path, server, sha256=SUM)
    assert fetch(tmp_path, server, sha256=SUM) == CONTENT
    assert len(manners.asked) == 1


@pytest.mark.parametrize(
    "wrong", [{"md5": "0" * 32}, {"sha256": "0" * 64}, {"size": 7}, {"size": 400_000}], ids=str
)
@pytest.mark.parametrize("length", [True, False])
def test_another_file_than_published_is_refused_unless_unchecked(server, manners, tmp_path, wrong, length):
    manners.length = length
    with pytest.raises(DataError, match=r"a\.zip (is not the published|could not be fetched: it has)"):
        fetch(tmp_path / "root", server, **wrong)
    assert "a.zip" not in seen(tmp_path / "root")
    if "size" not in wrong:
        assert seen(tmp_path / "root") == []
    assert fetch(tmp_path / "root", server, **wrong, check=False) == CONTENT


def test_a_server_that_sends_another_part_than_was_asked_for_is_asked_for_all(server, manners, tmp_path):
    manners.breaks, manners.wrong_start = [100_000], 5
    assert fetch(tmp_path, server, sha256=SUM) == CONTENT
    assert [wanted for _, wanted, _ in manners.asked] == [None, "bytes=100000-", None]


def test_a_file_that_has_become_shorter_is_begun_again(server, manners, tmp_path):
    manners.breaks = [200_000] + [0] * 3
    with pytest.raises(DataError):
        fetch(tmp_path, server)
    manners.content, manners.breaks = CONTENT[:100_000], []
    assert fetch(tmp_path, server) == CONTENT[:100_000]


def test_a_passing_fault_is_waited_out(server, manners, tmp_path):
    manners.statuses = [503, 429]
    assert fetch(tmp_path, server, sha256=SUM) == CONTENT


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_final_no_is_taken_at_once_and_the_mirror_asked(server, manners, tmp_path, status):
    manners.statuses = [status]
    assert fetch(tmp_path, f"{server}/old", f"{server}/new", sha256=SUM) == CONTENT
    assert [path for path, _, _ in manners.asked] == ["/old", "/new"]


def closed() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/a.zip"


def test_a_dead_source_gives_way_to_a_mirror(server, tmp_path):
    assert fetch(tmp_path, closed(), server) == CONTENT


def test_a_mirror_goes_on_where_the_first_broke_when_a_sum_will_tell(server, manners, tmp_path):
    manners.breaks = [100_000] + [0] * 3
    assert fetch(tmp_path, f"{server}/one", f"{server}/two", sha256=SUM) == CONTENT
    assert manners.asked[-1] == ("/two", "bytes=100000-", None)


def test_a_mirror_begins_anew_when_nothing_will_tell(server, manners, tmp_path):
    manners.breaks = [100_000] + [0] * 3
    assert fetch(tmp_path, f"{server}/one", f"{server}/two") == CONTENT
    assert manners.asked[-1] == ("/two", None, None)


def test_when_no_address_answers_all_are_named_with_what_a_person_can_do(server, manners, tmp_path):
    manners.statuses = [404]
    with pytest.raises(DataError) as caught:
        fetch(tmp_path, f"{server}/gone", closed(), steps="ask the authors at example.org")
    said = caught.value.one_line()
    assert f"HTTP Error 404: Not Found ({server}/gone)" in said
    assert "Connection refused" in said
    assert (
        f"ask the authors at example.org, put it into {tmp_path} as a.zip, and issue the command again"
        in said
    )


def test_a_file_that_only_a_person_can_get_says_how(tmp_path):
    with pytest.raises(DataError, match=r"a\.zip has to be got by a person") as caught:
        fetch(tmp_path, "", steps="sign the form at example.org")
    assert caught.value.way_out.startswith("sign the form at example.org, put it into")


def test_a_page_in_place_of_the_file_is_no_file(server, manners, tmp_path):
    manners.content, manners.kind = b"<html>please log in</html>", "text/html; charset=utf-8"
    with pytest.raises(DataError, match="a web page came in its place"):
        fetch(tmp_path, server)
    assert "a.zip" not in seen(tmp_path)


def test_terms_are_shown_and_have_to_be_accepted(server, manners, tmp_path):
    terms = "for research only, see example.org/terms"
    with pytest.raises(DataError, match=r"a\.zip: for research only, see example\.org/terms") as caught:
        fetch(tmp_path, server, terms=terms)
    assert "--accept-terms" in caught.value.way_out
    assert manners.asked == []
    assert fetch(tmp_path, server, terms=terms, accept_terms=True) == CONTENT
    assert fetch(tmp_path, server, terms=terms) == CONTENT  # it is there: nothing is fetched


def test_of_two_at_once_one_fetches(server, manners, tmp_path):
    manners.pause = 0.01
    threads = [threading.Thread(target=fetch, args=(tmp_path, server)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(manners.asked) == 1
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_file_that_is_there_is_not_fetched(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"mine")
    assert fetch(tmp_path, "file:///nowhere", md5="0" * 32) == b"mine"


def test_a_set_without_downloads_says_so(tmp_path):
    with pytest.raises(DataError, match="publishes nothing that can be fetched"):
        download(Published(), tmp_path)


def packed(tmp_path: Path, name: str = "set/a.png") -> Path:
    with zipfile.ZipFile(tmp_path / "upstream.zip", "w") as archive:
        archive.writestr(name, b"a picture")
    return tmp_path / "upstream.zip"


def test_an_archive_is_unpacked_beside_itself(tmp_path):
    wanted = Download(packed(tmp_path).as_uri(), "pictures.zip", unpack=True)
    root = tmp_path / "root"
    download(Published(wanted), root)
    assert (root / "pictures" / "set" / "a.png").read_bytes() == b"a picture"
    (root / "pictures.zip").unlink()
    (tmp_path / "upstream.zip").unlink()
    download(Published(wanted), root)  # the folder is there: nothing is fetched


def test_an_archive_that_was_fetched_is_not_fetched_again_to_be_unpacked(tmp_path):
    url = packed(tmp_path, "../evil").as_uri()
    root = tmp_path / "root"
    for _ in range(2):
        with pytest.raises(DataError, match="leads out of the folder"):
            download(Published(Download(url, "pictures.zip", unpack=True)), root)
        (tmp_path / "upstream.zip").unlink(missing_ok=True)
    assert seen(root) == ["pictures.zip"]


@pytest.mark.parametrize("bound", [{"unpacked_size": 8}, {"unpacked_files": 0}])
def test_what_is_declared_bounds_what_is_unpacked(tmp_path, bound):
    published = Published(Download(packed(tmp_path).as_uri(), "pictures.zip", unpack=True, **bound))
    with pytest.raises(DataError, match=r"more than (8 bytes|0 files)"):
        download(published, tmp_path / "root")
    download(published, tmp_path / "root", check=False)
    assert (tmp_path / "root" / "pictures" / "set" / "a.png").exists()
