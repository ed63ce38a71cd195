import torch
from dmlbench_plugins.samplers.random import random_images
from hypothesis import given
from hypothesis import strategies as st


def drawn(images, batch_size, seed=0):
    return random_images(images, batch_size, torch.Generator().manual_seed(seed))


@given(
    images=st.sets(st.integers(0, 500), min_size=1), batch_size=st.integers(1, 40), seed=st.integers(0, 99)
)
def test_a_batch_is_as_large_as_it_can_be_and_holds_no_image_twice(images, batch_size, seed):
    found = drawn(torch.tensor(sorted(images)), batch_size, seed).tolist()
    assert len(found) == len(set(found)) == min(batch_size, len(images))
    assert set(found) <= images


def test_every_image_and_every_pair_of_images_is_equally_likely():
    images, batch, draws = torch.arange(100, 110), 4, 6000
    together = torch.zeros(10, 10)
    for seed in range(draws):
        has = torch.zeros(10)
        has[drawn(images, batch, seed) - 100] = 1
        together += has[:, None] * has
    single = together.diagonal() / draws
    pair = together[torch.ones(10, 10).triu(1).bool()] / draws
    # Standard errors: 0.0063 and 0.0044.
    assert (single - batch / 10).abs().max() < 4 * 0.0063
    assert (pair - batch * (batch - 1) / 90).abs().max() < 4.5 * 0.0044


def test_the_generator_alone_decides():
    images = torch.arange(1000)
    assert torch.equal(drawn(images, 16, 1), drawn(images, 16, 1))
    assert not torch.equal(drawn(images, 16, 1), drawn(images, 16, 2))
