import pytest
import torch
from dmlbench_plugins.pml import losses
from dmlbench_plugins.pml.loss_table import LOSSES
from pytorch_metric_learning import losses as their_losses
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

CLASSES, PER_CLASS, DIM = 6, 4, 8
FACTS = {"num_classes": CLASSES, "embedding_dim": DIM}
GIVEN = {"RankedListLoss": {"margin": 0.4, "Tn": 2.0}, "ManifoldLoss": {"K": 5}}
WIDTH = {"P2SGradLoss": "descriptors_dim"}

every_loss = pytest.mark.parametrize("name", LOSSES)
every_mining_loss = pytest.mark.parametrize(
    "name", [n for n, v in LOSSES.items() if v.reads in ("pairs", "rows")]
)
every_loss_of_pairs = pytest.mark.parametrize("name", [n for n, v in LOSSES.items() if v.reads == "pairs"])
# The warning is theirs; our class keeps it to itself.
by_lists = pytest.mark.filterwarnings("ignore:Using a non-tuple sequence", "ignore:__array_wrap__")


def build(name, **given):
    torch.manual_seed(3)
    target = getattr(losses, name)
    known = {p.name: FACTS[p.name] for p in parameters_of(target)}
    return target(**known, **resolve_settings(target, {**GIVEN.get(name, {}), **given}, name))


def theirs(name):
    torch.manual_seed(3)
    known = {}
    if "num_classes" in {p.name for p in parameters_of(getattr(losses, name))} and name != "MarginLoss":
        known = {"num_classes": CLASSES, WIDTH.get(name, "embedding_size"): DIM}
    if name == "ManifoldLoss":
        known = {"l": DIM}
    return getattr(their_losses, name)(**known, **GIVEN.get(name, {}))


@pytest.fixture
def rows():
    """Unit rows of six classes, four of each, in order, as P x K batches are."""
    generator = torch.Generator().manual_seed(11)
    labels = torch.arange(CLASSES).repeat_interleave(PER_CLASS)
    centres = torch.randn(CLASSES, DIM, generator=generator)
    spread = torch.randn(len(labels), DIM, generator=generator)
    return functional.normalize(centres[labels] + spread, dim=1), labels


def seen(rows, labels, sight=None, memory=None):
    """What core offers a term for these rows."""
    columns = {"labels": labels, "indices": torch.arange(len(rows))}
    return scope_of(
        Scope(), Rows({"unit": rows}, columns, torch.arange(len(rows)), len(rows)), sight or Sight(), memory
    )


def value_and_gradient(function, rows):
    leaf = rows.clone().requires_grad_()
    torch.manual_seed(5)
    value = function(leaf)
    return value, torch.autograd.grad(value, leaf)[0]


def call(component, leaf, labels, **mined):
    scope = seen(leaf, labels)
    for name, chosen in mined.items():
        scope.set(name, chosen)
    return component(**{p.name: scope[p.name] for p in parameters_of(entry_point(component))})


@by_lists
@every_loss
def test_value_and_gradient_are_those_of_calling_pml(name, rows):
    embeddings, labels = rows
    component, direct = build(name), theirs(name)
    given = () if name == "ManifoldLoss" else (labels,)
    value, gradient = value_and_gradient(lambda leaf: call(component, leaf, labels), embeddings)
    their_value, their_gradient = value_and_gradient(lambda leaf: direct(leaf, *given), embeddings)
    assert value.ndim == 0
    assert value.isfinite()
    assert torch.equal(value, their_value)
    assert torch.equal(gradient, their_gradient)
    assert gradient.abs().sum() > 0


@by_lists
@every_mining_loss
@pytest.mark.parametrize("kind", ["pairs", "triplets"])
def test_with_a_miner_too(name, kind, rows):
    # In reverse order: the N-pairs loss takes the first pair of each class.
    embeddings, labels = rows
    component, direct = build(name, mined=kind), theirs(name)
    if kind == "pairs":
        indices = [i.flip(0)[::2] for i in their_miners.MultiSimilarityMiner()(embeddings, labels)]
        mined = Pairs(torch.stack(indices[:2]), torch.stack(indices[2:]))
    else:
        miner = their_miners.TripletMarginMiner(type_of_triplets="semihard")
        indices = [i.flip(0) for i in miner(embeddings, labels)]
        mined = Triplets(torch.stack(indices))
    assert kind in {p.name for p in parameters_of(entry_point(component))}
    value, gradient = value_and_gradient(
        lambda leaf: call(component, leaf, labels, **{kind: mined}), embeddings
    )
    their_value, their_gradient = value_and_gradient(lambda leaf: direct(leaf, labels, indices), embeddings)
    whole, _ = value_and_gradient(lambda leaf: call(build(name), leaf, labels), embeddings)
    assert torch.equal(value, their_value)
    assert torch.equal(gradient, their_gradient)
    assert not torch.equal(value, whole), "the choice matters"


@by_lists
@every_mining_loss
@pytest.mark.parametrize(
    "mined",
    [Pairs(*[torch.zeros(2, 0, dtype=torch.long)] * 2), Triplets(torch.zeros(3, 0, dtype=torch.long))],
)
def test_an_empty_choice_gives_a_finite_value_with_a_gradient(name, mined, rows):
    kind = type(mined).__name__.lower()
    component = build(name, mined=kind)
    value, gradient = value_and_gradient(
        lambda leaf: call(component, leaf, rows[1], **{kind: mined}), rows[0]
    )
    assert value.isfinite()
    assert gradient.isfinite().all()


@every_loss
def test_what_it_reads_follows_from_its_setting_and_a_class_speaks_for_no_miner(name):
    wanted = {
        "pairs": ["anchors", "refs", "positives", "negatives"],
        "rows": ["embeddings", "labels"],
        "labels": ["embeddings", "labels"],
        "embeddings": ["embeddings"],
    }[LOSSES[name].reads]
    assert [p.name for p in parameters_of(entry_point(build(name)))] == wanted
    assert [p.name for p in parameters_of(getattr(losses, name).forward)] == ["self", *wanted]


@every_loss_of_pairs
def test_label_ids_past_what_float32_counts_change_nothing(name, rows):
    embeddings, labels = rows
    assert torch.equal(call(build(name), embeddings, labels), call(build(name), embeddings, labels + 2**24))


@by_lists
@pytest.mark.parametrize(
    "name",
    [
        n
        for n, v in LOSSES.items()
        if (v.reads != "pairs" and not parameters_of(getattr(losses, n))) or n == "MarginLoss"
    ],
)
def test_nor_do_they_where_labels_are_read(name, rows):
    embeddings, labels = rows
    assert torch.equal(call(build(name), embeddings, labels), call(build(name), embeddings, labels + 2**24))


@pytest.mark.parametrize("name", ["ContrastiveLoss", "MultiSimilarityLoss", "SupConLoss", "NTXentLoss"])
def test_refs_from_memory_are_what_pml_wraps_as_cross_batch_memory(name):
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(3).repeat_interleave(4)
    component, memory = build(name), Memory(100, DIM)
    wrapped = their_losses.CrossBatchMemory(theirs(name), DIM, memory_size=100)
    for _ in range(3):
        rows = functional.normalize(torch.randn(12, DIM, generator=generator), dim=1)
        scope = seen(rows, labels, Sight(refs="memory"), memory)
        value = component(**{p.name: scope[p.name] for p in parameters_of(entry_point(component))})
        assert value.item() == pytest.approx(wrapped(rows, labels).item(), rel=1e-5)
        memory.push(rows, labels, torch.arange(12) + 1000)


def test_copies_of_one_picture_are_no_positives_when_the_term_says_so(rows):
    embeddings, labels = rows
    columns = {"labels": labels, "indices": torch.arange(24) // 2}
    batch = Rows({"unit": embeddings}, columns, torch.arange(24), 24)
    component = build("CircleLoss")

    def value(own_copies):
        scope = scope_of(Scope(), batch, Sight(own_copies=own_copies))
        return component(**{p.name: scope[p.name] for p in parameters_of(entry_point(component))})

    assert value("positive") != value("exclude")


# ---- what had to be mended, and what PML does that its name does not say


def test_as_it_is_the_dynamic_soft_margin_cannot_take_a_second_step(rows):
    embeddings, labels = rows[0].clone().requires_grad_(), rows[1]
    direct = their_losses.DynamicSoftMarginLoss()
    direct(embeddings, labels).backward()
    with pytest.raises(RuntimeError, match="second time"):
        direct(embeddings, labels).backward()
    component = build("DynamicSoftMarginLoss")
    for _ in range(2):
        call(component, embeddings, labels).backward()
    assert component.state_dict()["pml.hist_"].sum() == pytest.approx(1)


def test_the_dynamic_soft_margin_has_no_bin_for_the_worst_triplets():
    rows = functional.normalize(torch.tensor([[1.0, 0.0], [-1.0, 0.05], [1.0, 0.1]]), dim=1)
    with pytest.raises(RuntimeError, match="out of bounds"):
        call(build("DynamicSoftMarginLoss"), rows, torch.tensor([0, 0, 1]))


def test_equal_rows_of_a_class_give_the_tuplet_margin_no_finite_gradient(rows):
    embeddings, labels = rows[0].clone(), rows[1]
    embeddings[1] = embeddings[0]
    component = build("TupletMarginLoss")
    value, gradient = value_and_gradient(lambda leaf: call(component, leaf, labels), embeddings)
    assert not (value.isfinite() and gradient.isfinite().all())


def test_too_few_rows_for_the_proxies_of_the_manifold_loss_are_named(rows):
    with pytest.raises(UsageError, match="K = 25 needs as many rows; here are 24"):
        call(build("ManifoldLoss", K=25), *rows)


def smooth_ap(rows, labels, temperature=0.01):
    """Brown et al. 2020, equation 7, by loops."""
    similarity, losses = rows @ rows.T, []
    for query in range(len(rows)):
        positives = [i for i in range(len(rows)) if labels[i] == labels[query]]

        def rank(item, among, query=query):
            nearer = [similarity[query, k] - similarity[query, item] for k in among if k != item]
            return 1 + sum(torch.sigmoid(gap / temperature) for gap in nearer)

        ranks = [rank(i, positives) / rank(i, range(len(rows))) for i in positives]
        losses.append(1 - sum(ranks) / len(positives))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("classes", "per_class", "right"), [(4, 4, True), (6, 3, False), (3, 6, False)])
def test_smooth_ap_is_right_only_in_square_batches(classes, per_class, right):
    """When this fails upstream has mended it: take the warning out of the table and the page."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(classes).repeat_interleave(per_class)
    rows = functional.normalize(torch.randn(len(labels), DIM, generator=generator), dim=1)
    close = call(build("SmoothAPLoss"), rows, labels).item() == pytest.approx(
        smooth_ap(rows, labels).item(), abs=1e-5
    )
    assert close is right


def test_the_target_of_the_instance_loss_is_a_row_of_any_class(rows):
    """A row's target column is its class's rank among the classes of the batch."""
    embeddings, labels = rows
    expected = functional.cross_entropy(64 * embeddings @ embeddings.T, labels)
    assert call(build("InstanceLoss"), embeddings, labels).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_histogram_still_indexes_as_a_tuple(rows):
    """Torch announces that it will not: then the value changes, and this fails."""
    embeddings, labels = rows
    similarity, same = embeddings @ embeddings.T, labels[:, None] == labels
    once = torch.ones_like(same).triu(1)

    def density(values, bins=100):
        heights = [0.0] * (bins + 1)
        for value in values.tolist():
            place = (value + 1) * bins / 2
            heights[int(place)] += 1 - place % 1
            heights[int(place) + 1] += place % 1
        return torch.tensor(heights) / len(values)

    positive, negative = density(similarity[same & once]), density(similarity[~same & once])
    expected = (negative * positive.cumsum(0)).sum()
    assert call(build("HistogramLoss"), embeddings, labels).item() == pytest.approx(expected.item(), abs=1e-5)
