import pytest
import torch
from dmlbench_plugins.pml import miners
from dmlbench_plugins.pml.miner_table import MINERS
from pytorch_metric_learning import miners as their_miners
from torch.nn import functional

from dmlbench.errors import UsageError
from dmlbench.train.memory import Memory
from dmlbench.train.rows import Rows
from dmlbench.train.scope import Scope
from dmlbench.train.settings import resolve_settings
from dmlbench.train.sight import Sight, scope_of
from dmlbench.train.signature import entry_point, parameters_of
from dmlbench.train.values import Pairs, Triplets

every_miner = pytest.mark.parametrize("name", MINERS)


def build(name, **given):
    target = getattr(miners, name)
    return target(**resolve_settings(target, given, name))


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(5).repeat_interleave(4)[torch.randperm(20, generator=generator)]
    centres = torch.randn(5, 8, generator=generator)
    return functional.normalize(centres[labels] + torch.randn(20, 8, generator=generator), dim=1), labels


def seen(rows, labels, sight=None, memory=None, **columns):
    columns = {"labels": labels, "indices": torch.arange(len(rows)), **columns}
    batch = Rows({"unit": rows}, columns, torch.arange(len(rows)), len(rows))
    return scope_of(Scope(), batch, sight or Sight(), memory)


def mine(component, scope):
    torch.manual_seed(9)
    return component(**{p.name: scope[p.name] for p in parameters_of(entry_point(component))})


def indices(chosen):
    if isinstance(chosen, Triplets):
        return tuple(chosen.indices)
    return (*chosen.positive, *chosen.negative)


@every_miner
def test_it_chooses_what_pml_chooses(name, rows):
    chosen = mine(build(name), seen(*rows))
    torch.manual_seed(9)
    direct = getattr(their_miners, name)()(*rows)
    assert isinstance(chosen, {"pairs": Pairs, "triplets": Triplets}[MINERS[name].yields])
    assert len(direct[0])
    for ours, theirs in zip(indices(chosen), direct, strict=True):
        assert torch.equal(ours, theirs)


@every_miner
def test_positives_share_a_class_and_are_another_row_negatives_do_not(name, rows):
    scope = seen(*rows)
    chosen = mine(build(name), scope)
    a, p, *rest = indices(chosen)
    b, n = rest if len(rest) == 2 else (a, rest[0])
    assert scope["positives"][a, p].all()
    assert scope["negatives"][b, n].all()


@every_miner
def test_it_remembers_nothing(name, rows):
    component = build(name)
    before = {key: value for key, value in vars(component.pml).items() if not key.startswith("_")}
    first = mine(component, seen(*rows))
    mine(component, seen(rows[0][:8], rows[1][:8]))
    again = mine(component, seen(*rows))
    after = {key: value for key, value in vars(component.pml).items() if not key.startswith("_")}
    assert before == after
    assert all(map(torch.equal, indices(first), indices(again)))
    assert not component.state_dict()


@every_miner
def test_a_batch_of_one_class_has_no_negatives(name, rows):
    chosen = indices(mine(build(name), seen(rows[0], torch.zeros_like(rows[1]))))
    assert len(chosen[-1]) == 0


@pytest.mark.parametrize(
    "name", ["BatchHardMiner", "MultiSimilarityMiner", "PairMarginMiner", "TripletMarginMiner"]
)
def test_among_remembered_refs_an_anchor_is_not_its_own_positive(name, rows):
    embeddings, labels = rows
    memory = Memory(50, 8)
    memory.push(embeddings.flip(0), labels, torch.arange(20) + 100)
    scope = seen(embeddings, labels, Sight(refs="memory"), memory)
    chosen = indices(mine(build(name), scope))
    assert scope["positives"][chosen[0], chosen[1]].all()
    assert (chosen[1] >= 20).any(), "past rows are among the choice"


def test_hard_positives_among_remembered_refs_are_the_farthest(rows):
    embeddings, labels = rows
    memory = Memory(50, 8)
    memory.push(embeddings.flip(1), labels, torch.arange(20) + 100)
    scope = seen(embeddings, labels, Sight(refs="memory"), memory)
    a, p, n = indices(mine(build("BatchHardMiner"), scope))
    similarity = scope["similarity"]
    assert torch.equal(p, similarity.masked_fill(~scope["positives"], 9).argmin(dim=1)[a])
    assert torch.equal(n, similarity.masked_fill(~scope["negatives"], -9).argmax(dim=1)[a])


def test_rows_against_themselves_are_known_by_the_rows_not_by_their_labels(rows):
    """PML looks whether both label tensors are one object; else the easiest positive is the row itself."""
    scope, easy = seen(*rows), build("BatchEasyHardMiner", pos_strategy="easy", neg_strategy="easy")
    given = {p.name: scope[p.name] for p in parameters_of(entry_point(easy))}
    expected, found = easy(**given), easy(**{**given, "ref_labels": rows[1].clone()})
    assert all(map(torch.equal, indices(expected), indices(found)))


def test_refs_that_are_a_role_are_refused(rows):
    role = torch.arange(20) % 5 == 0
    scope = seen(*rows, Sight(refs="is_representative"), is_representative=role)
    with pytest.raises(UsageError, match="BatchHardMiner needs every row as an anchor"):
        mine(build("BatchHardMiner"), scope)
