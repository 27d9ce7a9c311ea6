"""The public PConv U-Net in PyTorch, written from its specification, with the names of its state dicts."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

LEVELS = 7
MEAN, STD = (torch.tensor(values).reshape(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


class PartialConv(nn.Module):
    """The sum over valid values divided by their number; the mask has as many channels as the features."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, bias: bool) -> None:
        super().__init__()
        self.input_conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)
        self.mask_conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        nn.init.ones_(self.mask_conv.weight)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        count = self.mask_conv(mask)
        settings = {"stride": self.input_conv.stride, "padding": self.input_conv.padding}
        mean = F.conv2d(x * mask, self.input_conv.weight, **settings) / count.clamp(min=1)
        if self.input_conv.bias is not None:
            mean = mean + self.input_conv.bias.reshape(-1, 1, 1)
        updated_mask = (count > 0).to(x.dtype)
        return mean * updated_mask, updated_mask


class Layer(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, norm: bool = True,
                 slope: float = 0.0, bias: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.conv = PartialConv(inputs, outputs, kernel, stride, bias)
        if norm:
            self.bn = nn.BatchNorm2d(outputs)
        self.slope = slope

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, mask = self.conv(x, mask)
        x = self.bn(x) if hasattr(self, "bn") else x
        return F.leaky_relu(x, self.slope), mask


class UNet(nn.Module):
    """Normalized images and masks [b, 3, h, w], 1 = valid, to normalized images."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = [3] + [width * min(2**i, 8) for i in range(LEVELS)]
        for i, (a, b) in enumerate(itertools.pairwise(channels), start=1):
            self.add_module(f"enc_{i}", Layer(a, b, {1: 7, 2: 5, 3: 5}.get(i, 3), 2, norm=i > 1))
            last = i == 1
            self.add_module(f"dec_{i}", Layer(b + a, a, norm=not last, slope=1.0 if last else 0.2, bias=last))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        skips = [(x, mask)]
        for i in range(1, LEVELS + 1):
            skips.append(getattr(self, f"enc_{i}")(*skips[-1]))
        decoded = skips.pop()
        for i in range(LEVELS, 0, -1):
            enlarged = (F.interpolate(part, scale_factor=2, mode="nearest") for part in decoded)
            joined = (torch.cat(parts, 1) for parts in zip(enlarged, skips.pop(), strict=True))
            decoded = getattr(self, f"dec_{i}")(*joined)
        return decoded[0]


def random_unet(width: int, seed: int) -> UNet:
    """Return a network whose statistics, scales and biases are not 0 or 1, so that each changes the output."""
    torch.manual_seed(seed)
    network = UNet(width).eval()
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "bn.bias")):
            nn.init.normal_(tensor, std=0.3)
        elif name.endswith(("running_var", "bn.weight")):
            nn.init.uniform_(tensor, 0.5, 1.5)
        elif name.endswith("input_conv.weight"):  # the scale of weights whose output is divided by the window size
            tensor.mul_(tensor[0].numel())
    nn.init.normal_(network.dec_1.conv.input_conv.bias, std=0.5)
    return network
