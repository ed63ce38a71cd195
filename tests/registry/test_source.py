import sys

import pytest

from dmlbench.registry.source import code_digest, source_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write modules of a package `lent_maths`; answers the digest of one of them."""
    folder = tmp_path / "lent_maths"
    folder.mkdir()
    (folder / "__init__.py").write_text("OFFERED = 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    def digest_of(module, **files):
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        for name in [name for name in sys.modules if name.startswith("lent_maths")]:
            del sys.modules[name]
        return code_digest(f"lent_maths.{module}", folder / f"{module}.py")

    return digest_of


def test_layout_and_documentation_do_not_count():
    assert source_digest(b"def f(x): return x") == source_digest(b'def f(x):\n    "Same."\n    return (x)')
    assert source_digest(b"def f(x): return x") != source_digest(b"def f(x): return -x")


def test_a_file_alone_has_its_plain_digest(package):
    text = "import math\nfrom collections import abc\n\ndef f(x): return x\n"
    assert package("loss", loss=text) == source_digest(text.encode())


@pytest.mark.parametrize(
    "line",
    [
        "from lent_maths.shared import g",
        "from lent_maths import shared",
        "from .shared import g",
        "from . import shared",
        "import lent_maths.shared",
        "def late():\n    from lent_maths.shared import g",
    ],
)
def test_what_is_imported_from_the_own_package_counts(package, line):
    first = package("loss", loss=f"{line}\n", shared="def g(x): return x\n")
    assert package("loss", shared="def g(x): return x  # same\n") == first
    assert package("loss", shared="def g(x): return -x\n") != first


def test_imports_of_imports_count_and_circles_end(package):
    first = package(
        "loss",
        loss="from lent_maths import one\n",
        one="from lent_maths import two\n",
        two="from lent_maths import one\nX = 1\n",
    )
    assert package("loss", two="from lent_maths import one\nX = 2\n") != first


def test_what_the_package_offers_does_not_count(package, tmp_path):
    first = package("loss", loss="from lent_maths import OFFERED\n")
    (tmp_path / "lent_maths" / "__init__.py").write_text("OFFERED = 2\n")
    assert package("loss") == first
