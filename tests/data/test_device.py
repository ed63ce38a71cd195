from __future__ import annotations

import pytest
import torch

from dmlbench.data.device import on_device

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")),
]


@pytest.mark.parametrize("device", DEVICES)
def test_bytes_arrive_as_floats_in_channels_last_memory(device):
    images = torch.arange(2 * 4 * 3 * 3, dtype=torch.uint8).reshape(2, 4, 3, 3)
    found = on_device(images, device)
    assert found.device.type == device
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found.cpu(), images.permute(0, 3, 1, 2).float())


@pytest.mark.parametrize(("device", "pinned"), [("cpu", 0), ("cuda", 1)])
def test_they_are_pinned_on_the_way_to_a_gpu_alone(device, pinned, monkeypatch):
    calls = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda images: calls.append(images.dtype) or images)
    monkeypatch.setattr(torch.Tensor, "to", lambda images, *_args, **_options: images)
    on_device(torch.zeros(1, 4, 4, 3, dtype=torch.uint8), device)
    assert calls == [torch.uint8] * pinned
