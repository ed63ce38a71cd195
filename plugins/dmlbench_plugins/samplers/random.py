"""Batches of images drawn without a look at what they show."""

import torch
from jaxtyping import Int
from torch import Tensor


def random_images(
    train_indices: Int[Tensor, " images"], batch_size: int, generator: torch.Generator
) -> Int[Tensor, " batch"]:
    """`batch_size` of the images that train now, or all of them where there are fewer.

    No image twice in a batch; every subset is equally likely, and batches are independent of each other. So a
    label is as frequent in training as it is in the data, whatever else an image has.
    """
    return train_indices[torch.randperm(len(train_indices), generator=generator)[:batch_size]]
