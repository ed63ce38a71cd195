import doctest
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from dmlbench.errors import DataError, UsageError
from dmlbench.score import binary
from dmlbench.score.binary import fit_itq


def centred(embeddings, itq):
    return embeddings.double() - itq.mean


def error(embeddings, itq):
    """What ITQ makes small: |sign(VR) - VR|²."""
    projected = centred(embeddings, itq) @ itq.projection
    return float((itq.codes(embeddings) - projected).square().sum())


@given(st.integers(0, 2**32), st.integers(2, 60), st.integers(2, 8))
@settings(deadline=None, derandomize=True, max_examples=25)
def test_the_error_never_rises(seed, items, bits):
    embeddings = torch.randn(items, 8, generator=torch.Generator().manual_seed(seed)) ** 3
    errors = [error(embeddings, fit_itq(embeddings, bits, steps, seed=3)) for steps in range(8)]
    assert all(later <= before * (1 + 1e-12) for before, later in itertools.pairwise(errors))
    if items > 40:
        assert errors[-1] < errors[0]


def test_each_step_is_the_procrustes_rotation_of_scipy(clusters):
    embeddings = clusters()[0]
    for steps in (0, 1, 5):
        before, after = (fit_itq(embeddings, 6, count, seed=2) for count in (steps, steps + 1))
        projected = centred(embeddings, before) @ before.projection
        turn, _ = orthogonal_procrustes(projected, before.codes(embeddings).double())
        assert torch.allclose(before.projection @ torch.from_numpy(turn), after.projection, atol=1e-10)


def test_it_projects_orthogonally_on_the_principal_directions(clusters):
    embeddings = clusters()[0].double()
    itq = fit_itq(embeddings, bits=5)
    assert torch.allclose(itq.projection.T @ itq.projection, torch.eye(5).double(), atol=1e-12)
    _, _, directions = np.linalg.svd(embeddings.numpy() - embeddings.numpy().mean(axis=0))
    onto = directions[:5].T @ directions[:5]
    assert np.allclose(itq.projection @ itq.projection.T, onto, atol=1e-10)


def test_corners_of_a_turned_cube_are_found_again():
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4).double().repeat(3, 1)
    turn = torch.linalg.qr(torch.randn(9, 4, generator=torch.Generator().manual_seed(5)).double()).Q
    cube = corners @ turn.T + 7
    itq = min((fit_itq(cube, 4, seed=seed) for seed in range(5)), key=lambda one: error(cube, one))
    assert error(cube, itq) < 1e-18
    apart = (itq.codes(cube)[:, None] != itq.codes(cube)).sum(dim=2)
    assert torch.equal(apart, (corners[:, None] != corners).sum(dim=2))


def test_codes_are_small_integers_and_the_sign_of_zero_is_plus():
    itq = binary.Itq(torch.zeros(2).double(), torch.eye(2).double())
    codes = itq.codes(torch.tensor([[0.0, -0.0], [1e-300, -1e-300], [-2.0, 3.0]], dtype=torch.float64))
    assert codes.dtype == torch.int8
    assert codes.tolist() == [[1, 1], [1, -1], [-1, 1]]


def test_queries_are_centred_as_asked(clusters):
    embeddings = clusters()[0]
    itq = fit_itq(embeddings, bits=8)
    assert torch.equal(itq.codes(embeddings, centre="own"), itq.codes(embeddings))
    moved = embeddings + 3
    assert torch.equal(itq.codes(moved, centre="own"), itq.codes(embeddings))
    assert not torch.equal(itq.codes(moved), itq.codes(embeddings))
    one = itq.codes(embeddings[:1])
    assert torch.equal(one, itq.codes(embeddings)[:1]), "a code centred as fitted is the row's own affair"


def test_the_seed_alone_fixes_the_codes(clusters):
    embeddings = clusters()[0]
    state, before = torch.get_rng_state(), embeddings.clone()
    plain = fit_itq(embeddings, 8).codes(embeddings)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(embeddings, before)
    assert torch.equal(fit_itq(embeddings * 1024, 8).codes(embeddings * 1024), plain)
    assert not torch.equal(fit_itq(embeddings, 8, seed=1).codes(embeddings), plain)
    assert torch.equal(fit_itq(embeddings.requires_grad_(), 8).codes(embeddings), plain)


def test_numpy_half_and_strided_input_is_fitted_in_float64(clusters):
    embeddings = clusters()[0]
    plain = fit_itq(embeddings, 8)
    assert torch.equal(fit_itq(embeddings.numpy(), 8).projection, plain.projection)
    strided = embeddings.repeat_interleave(2, dim=0)[::2]
    assert torch.equal(fit_itq(strided, 8).codes(embeddings.numpy()), plain.codes(embeddings))
    for dtype in (torch.float16, torch.bfloat16):
        rounded = embeddings.to(dtype)
        assert torch.equal(fit_itq(rounded, 8).projection, fit_itq(rounded.double(), 8).projection)


def test_a_random_rotation_is_orthogonal_and_has_no_favourite_direction():
    rotations = torch.stack([binary._random_rotation(3, seed) for seed in range(400)])
    assert torch.allclose(rotations @ rotations.mT, torch.eye(3).double().expand(400, 3, 3), atol=1e-12)
    assert rotations.mean(dim=0).abs().max() < 0.1
    assert torch.allclose(rotations.square().mean(dim=0), torch.full((3, 3), 1 / 3).double(), atol=0.06)


def test_as_many_bits_as_dimensions_and_fewer_items_than_bits_are_no_trouble():
    embeddings = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    for rows in (embeddings, embeddings[:1], torch.ones(5, 8)):
        itq = fit_itq(rows, bits=8)
        assert torch.isfinite(itq.projection).all()
        assert itq.codes(rows).abs().min() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 17}, "bits=17: embeddings of 16 dimensions have 1 to 16"),
        ({"bits": 0}, "bits=0"),
        ({"bits": 4, "iterations": -1}, "iterations=-1"),
    ],
)
def test_wrong_usage_is_refused(clusters, arguments, message):
    with pytest.raises(UsageError, match=message):
        fit_itq(clusters()[0], **arguments)


def test_embeddings_that_have_no_codes_are_refused(clusters):
    embeddings = clusters()[0]
    itq = fit_itq(embeddings, 4)
    with pytest.raises(DataError, match="embeddings have 15 dimensions, those fitted had 16"):
        itq.codes(embeddings[:, :15])
    with pytest.raises(DataError, match="row 0 is not finite"):
        itq.codes(embeddings / 0)
    with pytest.raises(DataError, match="row 0 is not finite"):
        fit_itq(embeddings / 0, 4)
    with pytest.raises(UsageError, match="centre='query'"):
        itq.codes(embeddings, centre="query")


def test_examples_in_docstrings_are_true():
    failed, tried = doctest.testmod(binary, extraglobs={"torch": torch})
    assert failed == 0
    assert tried > 0
