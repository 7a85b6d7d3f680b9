"""Depthwise convolutions of dilation 2 as convolutions without one.

Source: Yu and Koltun, Multi-scale context aggregation by dilated convolutions (ICLR 2016), for what they are; the way
is ours. Pixels of one parity of row and column see each other alone: four images of half the sides. On a CPU PyTorch's
gradients of a dilated depthwise convolution take ten times those of one without dilation.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

DILATION = 2


class DilatedDepthwise(nn.Conv2d):
    """``nn.Conv2d`` with a group per channel, dilation 2 and the padding that keeps the sides; no bias."""

    def __init__(self, width: int, kernel: int, stride: int) -> None:
        super().__init__(width, width, kernel, stride, kernel - 1, DILATION, width, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, width, H, W) -> (B, width, H / stride, W / stride), sides rounded up."""
        if self.stride[0] == DILATION:  # the pixels that are left are of one parity
            return self.undilated(features[:, :, ::DILATION, ::DILATION])
        height, breadth = features.shape[2:]
        if height % 2 or breadth % 2:  # else padding by nothing would be a copy
            features = F.pad(features, (0, breadth % 2, 0, height % 2))
        return together(self.undilated(by_parity(features)))[:, :, :height, :breadth]

    def undilated(self, features: Tensor) -> Tensor:
        """The same kernel, its entries next to each other."""
        return F.conv2d(features, self.weight, None, 1, self.kernel_size[0] // 2, 1, self.groups)


def by_parity(features: Tensor) -> Tensor:
    """Features (B, C, H, W) of even sides -> (4 * B, C, H / 2, W / 2), channels-last: of each parity by themselves."""
    batch, channels, height, breadth = features.shape
    pixels = features.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, breadth // 2, 2, channels)
    parts = pixels.permute(2, 4, 0, 1, 3, 5).reshape(4 * batch, height // 2, breadth // 2, channels)
    return parts.permute(0, 3, 1, 2)


def together(parts: Tensor) -> Tensor:
    """What ``by_parity`` makes, put together again."""
    images, channels, height, breadth = parts.shape
    pixels = parts.permute(0, 2, 3, 1).reshape(2, 2, images // 4, height, breadth, channels)
    features = pixels.permute(2, 3, 0, 4, 1, 5).reshape(images // 4, 2 * height, 2 * breadth, channels)
    return features.permute(0, 3, 1, 2)
