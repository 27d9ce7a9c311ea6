"""EdgeConnect's networks in PyTorch, written from their specification, with the names of the public state dicts."""

import torch
from torch import nn
from torch.nn.utils import spectral_norm


def norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)


class Block(nn.Module):
    def __init__(self, channels: int, spectral: bool) -> None:
        super().__init__()
        wrap = spectral_norm if spectral else lambda conv: conv
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(2),
            wrap(nn.Conv2d(channels, channels, 3, dilation=2, bias=not spectral)), norm(channels), nn.ReLU(),
            nn.ReflectionPad2d(1),
            wrap(nn.Conv2d(channels, channels, 3, bias=not spectral)), norm(channels),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


class Generator(nn.Module):
    """The edge generator (3 channels to 1, spectral norm) or the generator (4 to 3, without); the output is linear."""

    def __init__(self, into: int, out: int, width: int, *, spectral: bool) -> None:
        super().__init__()
        wrap = spectral_norm if spectral else lambda conv: conv
        c = width
        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(3), wrap(nn.Conv2d(into, c, 7)), norm(c), nn.ReLU(),
            wrap(nn.Conv2d(c, 2 * c, 4, 2, 1)), norm(2 * c), nn.ReLU(),
            wrap(nn.Conv2d(2 * c, 4 * c, 4, 2, 1)), norm(4 * c), nn.ReLU(),
        )  # fmt: skip
        self.middle = nn.Sequential(*(Block(4 * c, spectral) for _ in range(8)))
        self.decoder = nn.Sequential(
            wrap(nn.ConvTranspose2d(4 * c, 2 * c, 4, 2, 1)), norm(2 * c), nn.ReLU(),
            wrap(nn.ConvTranspose2d(2 * c, c, 4, 2, 1)), norm(c), nn.ReLU(),
            nn.ReflectionPad2d(3), nn.Conv2d(c, out, 7),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.middle(self.encoder(x)))


class Discriminator(nn.Module):
    """The five feature maps; the last one is linear."""

    def __init__(self, into: int, width: int) -> None:
        super().__init__()
        c = width
        layers = [(into, c, 2), (c, 2 * c, 2), (2 * c, 4 * c, 2), (4 * c, 8 * c, 1), (8 * c, 1, 1)]
        for i, (a, b, stride) in enumerate(layers, start=1):
            conv = spectral_norm(nn.Conv2d(a, b, 4, stride, 1, bias=False))
            setattr(self, f"conv{i}", nn.Sequential(conv, *([nn.LeakyReLU(0.2)] if i < 5 else [])))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = []
        for i in range(1, 6):
            x = getattr(self, f"conv{i}")(x)
            maps.append(x)
        return maps


def networks(width: int, seed: int) -> dict[str, nn.Module]:
    """Return the four networks, with random weights and biases, in float64."""
    torch.manual_seed(seed)
    networks = {
        "edge_generator": Generator(3, 1, width, spectral=True), "edge_discriminator": Discriminator(2, width),
        "generator": Generator(4, 3, width, spectral=False), "discriminator": Discriminator(3, width),
    }  # fmt: skip
    return {name: network.double() for name, network in networks.items()}


def state_dicts(networks: dict[str, nn.Module]) -> dict[str, dict]:
    return {name: {key: tensor.numpy().copy() for key, tensor in network.state_dict().items()}
            for name, network in networks.items()}  # fmt: skip
