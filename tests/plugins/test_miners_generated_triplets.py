import torch
from dmlbench_plugins.miners.generated_triplets import generated_triplets


def test_the_i_th_rows_of_each_third_are_a_triplet_where_their_classes_fit():
    labels = torch.tensor([0, 1, 2, 0, 1, 0, 1, 1, 1])
    same = labels[:, None] == labels
    found = generated_triplets(same & ~torch.eye(9, dtype=torch.bool), ~same)
    assert found.indices.tolist() == [[0], [3], [6]]
