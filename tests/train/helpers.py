"""Running a trainer, and taking its checkpoint as a file would hold it."""

import io

import torch


def train(trainer, steps=None):
    logs = []
    while not trainer.done and (steps is None or len(logs) < steps):
        logs.append(trainer.step())
    return logs


def saved(trainer):
    buffer = io.BytesIO()
    torch.save(trainer.state_dict(), buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)
