import pytest

from dmlbench.errors import ContractError, MissingPackageError, UsageError
from dmlbench.registry.descriptors import LossPlugin
from dmlbench.registry.registry import digest_of, kebab, load_target, registry
from dmlbench.registry.report import Entry


def entry(target, **fields):
    return Entry(LossPlugin(id="x", target=target, **fields), "acme", "1")


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("kind", "name", "near"), [("loss", "contrastiv", "contrastive"), ("miner", "semi-hard", "semihard")]
)
def test_an_unknown_name_is_answered_with_the_nearest_and_the_list(kind, name, near):
    with pytest.raises(UsageError) as error:
        registry().find(kind, name, place="sweep.toml")
    assert (error.value.near, error.value.way_out) == (near, f"dmlbench list {kind}")
    assert error.value.place == "sweep.toml"


def test_the_full_id_and_the_short_one_find_the_same():
    assert registry().find("loss", "dmlbench:triplet") == registry().find("loss", "triplet")


def test_entries_are_sorted_by_id():
    names = [found.plugin.id for found in registry().of_kind("loss")]
    assert names == sorted(names)


@pytest.mark.parametrize("kind", ["loss", "sampler", "miner", "augmenter", "backbone", "dataset"])
def test_every_built_in_points_at_something(kind):
    for found in registry().of_kind(kind):
        assert callable(load_target(found))
        assert digest_of(found).startswith("sha256:")


def test_a_function_in_a_file_is_a_loss(file):
    path = file("def my_loss(embeddings, labels): ...")
    found = registry().find("loss", f"{path}:my_loss")
    assert (found.full_id, load_target(found).__name__) == ("local:my-loss", "my_loss")


def test_the_source_digest_follows_the_file(tmp_path):
    digests = set()
    for number, name in ((1, "a"), (1, "my-loss"), (2, "2")):
        path = tmp_path / f"{name}.py"
        path.write_text(f"def my_loss(embeddings): return {number}")
        digests.add(digest_of(registry().find("loss", f"{path}:my_loss")))
    assert len(digests) == 2


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UsageError, match=r"no file none.py"):
        registry().find("loss", "./none.py:my_loss")


def test_only_losses_come_as_files(file):
    with pytest.raises(UsageError, match="a miner cannot be given as a file") as error:
        registry().find("miner", f"{file('')}:HardPairs")
    assert error.value.way_out == "dmlbench new miner hard-pairs makes a package with one"


def test_an_attribute_that_is_not_there_is_answered_with_the_nearest(file):
    path = file("def my_loss(embeddings): ...")
    with pytest.raises(ContractError, match="has no 'my_los'") as error:
        load_target(registry().find("loss", f"{path}:my_los"))
    assert error.value.near == "my_loss"
    assert error.value.place == str(path)


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("x = 1\ny = z\n", "the file raises NameError", 2),
        ("x = 1\ndef f(:\n", "the file raises SyntaxError", 2),
        ("\n\nimport nothing_of_that_name\n", "the file raises ModuleNotFoundError", 3),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_its_line(file, text, said, line):
    path = file(text)
    with pytest.raises(ContractError, match=said) as error:
        load_target(registry().find("loss", f"{path}:my_loss"))
    assert error.value.place == f"{path}:{line}"


@pytest.mark.parametrize(
    "text", ["my_loss = 3", "import torch\nmy_loss = torch.nn.Identity()", "my_loss = len"]
)
def test_what_is_neither_function_nor_class_is_refused(file, text):
    path = file(text)
    with pytest.raises(ContractError, match="my_loss is a"):
        load_target(registry().find("loss", f"{path}:my_loss"))


def test_a_missing_extra_is_named_with_the_command_that_brings_it():
    with pytest.raises(MissingPackageError) as error:
        load_target(entry("nothing_of_that_name:x", extra="fast"))
    assert error.value.way_out == 'pip install "acme[fast]"'


def test_what_no_extra_brings_is_no_missing_extra(distribution, installed):
    made = distribution("acme-losses", "", maths__py="from json import nothing_of_that_name")
    installed(made.site)
    with pytest.raises(ContractError, match="cannot import name"):
        load_target(entry("acme_losses.maths:ring", extra="fast", imports=("json",)))


def test_a_module_that_calls_sys_exit_ends_nothing(distribution, installed):
    made = distribution("acme-losses", "", maths__py="import sys\nsys.exit(0)\n")
    installed(made.site)
    with pytest.raises(ContractError, match="SystemExit") as error:
        load_target(entry("acme_losses.maths:ring"))
    assert error.value.place.endswith("maths.py:2")


def test_a_module_that_is_not_there_breaks_the_contract():
    with pytest.raises(ContractError, match="No module named 'nothing_of_that_name'"):
        load_target(entry("nothing_of_that_name:x"))


def test_a_module_that_raises_is_an_error_with_its_line(distribution, installed):
    made = distribution("acme-losses", "", maths__py="x = 1\n1 / 0\n")
    installed(made.site)
    with pytest.raises(ContractError, match="ZeroDivisionError") as error:
        load_target(entry("acme_losses.maths:ring"))
    assert error.value.place.endswith("maths.py:2")


@pytest.mark.parametrize(
    ("name", "id"),
    [("MyLoss", "my-loss"), ("my_loss", "my-loss"), ("ProxyNCA", "proxy-nca"), ("_Loss2", "loss2")],
)
def test_names_of_functions_and_classes_become_ids(name, id):
    assert kebab(name) == id
