"""Backbones and heads with one fault each."""

import torch
from torch import nn


class _Backbone(nn.Module):
    def __init__(self, image_channels):
        super().__init__()
        self.convolution = nn.Conv2d(image_channels, 4, kernel_size=4, stride=4)
        self.feature_dim = 4

    def features(self, images):
        return self.convolution(images).relu().mean(dim=(2, 3))


class WrongWidth(_Backbone):
    def __init__(self, image_channels):
        super().__init__(image_channels)
        self.feature_dim = 5

    def forward(self, images):
        return self.features(images)


class NotANumber(_Backbone):
    def forward(self, images):
        return self.features(images).sub(1e6).log()


class OverflowsInBf16(_Backbone):
    def forward(self, images):
        seen = self.convolution(images)
        return seen.masked_fill(seen > 1e6, torch.finfo(torch.float32).max).mean(dim=(2, 3))


class LeavesATrace(_Backbone):
    """Its running mean follows evaluated images too."""

    def __init__(self, image_channels):
        super().__init__(image_channels)
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, images):
        features = self.features(images)
        self.mean.lerp_(features.detach().float().mean(dim=0), 0.1)
        return features


class RowsTogether(_Backbone):
    """Takes the mean of the batch away, in evaluation too."""

    def forward(self, images):
        features = self.features(images)
        return features - features.mean(dim=0)


class ColourOnly(_Backbone):
    def __init__(self):
        super().__init__(3)

    def forward(self, images):
        return self.features(images)


class _Head(nn.Module):
    def __init__(self, feature_dim, embedding_dim):
        super().__init__()
        self.embedding_dim = embedding_dim
        self.linear = nn.Linear(feature_dim, embedding_dim)


class DropsRows(_Head):
    def forward(self, features):
        return self.linear(features)[:-1]


class Squeezes(_Head):
    """One row becomes a vector."""

    def forward(self, features):
        return self.linear(features).squeeze()


class ViewsRows(_Head):
    def forward(self, features):
        return self.linear(features.view(-1).view(len(features), -1))
