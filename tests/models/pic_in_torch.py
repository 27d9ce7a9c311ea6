"""PIC's networks in PyTorch, written from their specification: the reference for those in JAX.

Names and shapes in the state dicts are those of the public implementation: a spectrally normalized convolution holds
`module.weight_bar`, `module.weight_u`, `module.weight_v`, `module.bias`, and a block's convolutions appear twice, as
`conv1`, `conv2`, `bypass` and inside `model` and `shortcut`.
"""

import torch
import torch.nn.functional as F
from torch import nn


class SpectralNorm(nn.Module):
    """Spectral normalization with one step of power iteration in every forward pass, which is stored."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        weight = module.weight
        del module.weight
        module.register_parameter("weight_bar", nn.Parameter(weight.detach()))
        matrix = weight.detach().flatten(1)
        module.register_buffer("weight_u", F.normalize(torch.randn(len(matrix)), dim=0))
        module.register_buffer("weight_v", F.normalize(torch.randn(matrix.shape[1]), dim=0))

    def forward(self, x):
        m = self.module
        matrix = m.weight_bar.flatten(1)
        with torch.no_grad():
            m.weight_v.copy_(F.normalize(matrix.T @ m.weight_u, dim=0))
            m.weight_u.copy_(F.normalize(matrix @ m.weight_v, dim=0))
        m.weight = m.weight_bar / (m.weight_u @ matrix @ m.weight_v)
        return m(x)


def conv(inputs, outputs, kernel=3, padding=None):
    return SpectralNorm(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2 if padding is None else padding))


def up(inputs, outputs):
    return SpectralNorm(nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1))


class Block(nn.Module):
    def forward(self, x):
        return self.model(x) + self.shortcut(x)


class FirstBlock(Block):
    def __init__(self, outputs):
        super().__init__()
        self.conv1, self.conv2, self.bypass = conv(3, outputs), conv(outputs, outputs), conv(3, outputs, 1)
        self.model = nn.Sequential(self.conv1, nn.LeakyReLU(0.1), self.conv2, nn.AvgPool2d(2))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), self.bypass)


class ResBlock(Block):
    def __init__(self, inputs, outputs, hidden, down=False, slope=0.1):
        super().__init__()
        self.conv1, self.conv2 = conv(inputs, hidden), conv(hidden, outputs)
        self.bypass = conv(inputs, outputs, 1)
        self.model = nn.Sequential(nn.LeakyReLU(slope), self.conv1, nn.LeakyReLU(slope), self.conv2)
        self.shortcut = nn.Sequential(self.bypass)
        self.pool = nn.AvgPool2d(2) if down else nn.Identity()

    def forward(self, x):
        return self.pool(self.model(x)) + self.pool(self.shortcut(x))


class UpBlock(Block):
    def __init__(self, inputs, outputs, hidden):
        super().__init__()
        self.conv1, self.conv2, self.bypass = conv(inputs, hidden), up(hidden, outputs), up(inputs, outputs)
        self.model = nn.Sequential(nn.InstanceNorm2d(inputs, affine=True), nn.LeakyReLU(0.1), self.conv1,
                                   nn.InstanceNorm2d(hidden, affine=True), nn.LeakyReLU(0.1), self.conv2)
        self.shortcut = nn.Sequential(self.bypass)


class Output(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.conv1 = conv(inputs, 3, padding=0)
        self.model = nn.Sequential(nn.LeakyReLU(0.1), nn.ReflectionPad2d(1), self.conv1, nn.Tanh())

    def forward(self, x):
        return self.model(x)


class AutoAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 4, 1)
        self.gamma, self.alpha = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.model = ResBlock(2 * channels, channels, channels, slope=0.01)

    def forward(self, x, encoded=None, valid=None):
        query = self.query_conv(x).flatten(2)
        attention = torch.softmax(query.transpose(1, 2) @ query, dim=-1)

        def take(values):
            return (values.flatten(2) @ attention.transpose(1, 2)).reshape(values.shape)

        out = self.gamma * take(x) + x
        if encoded is None:
            return out
        context = self.alpha * (1 - valid) * take(encoded) + valid * encoded
        return self.model(torch.cat([out, context], dim=1))


def add_trunk(network, w):
    """Add the downsampling blocks of the encoder and of the discriminators."""
    network.block0 = FirstBlock(w)
    for i, (a, b) in enumerate(((w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w), (4 * w, 4 * w))):
        network.add_module(f"encoder{i}", ResBlock(a, b, a, down=True))


class Encoder(nn.Module):
    """Images in [-1, 1] to (mean, std) of the prior and of the posterior, and the features of the valid pixels."""

    def __init__(self, width=32):
        super().__init__()
        w = width
        add_trunk(self, w)
        for i in range(6):
            self.add_module(f"infer_prior{i}", ResBlock(4 * w, 4 * w, 4 * w))
        self.posterior, self.prior = (ResBlock(4 * w, 8 * w, 4 * w) for _ in range(2))

    def forward(self, visible, hidden):
        x, maps = self.block0(torch.cat([visible, hidden])), []
        for i in range(4):
            x = getattr(self, f"encoder{i}")(x)
            maps.append(x.chunk(2)[0])
        visible, hidden = x.chunk(2)
        for i in range(6):
            visible = getattr(self, f"infer_prior{i}")(visible)
        prior, posterior = ((mean, F.softplus(spread)) for mean, spread in (
            self.prior(visible).chunk(2, dim=1), self.posterior(hidden).chunk(2, dim=1)))
        return prior, posterior, maps[1], maps[3]


class Generator(nn.Module):
    """z and the features of the valid pixels to images in [-1, 1] at four sizes."""

    def __init__(self, width=32):
        super().__init__()
        w = width
        self.generator = ResBlock(4 * w, 4 * w, 4 * w)
        sizes = ((4 * w, 4 * w), (4 * w, 4 * w), (4 * w + 3, 4 * w), (4 * w + 3, 2 * w), (2 * w + 3, w))
        for i, (a, b) in enumerate(sizes):
            self.add_module(f"decoder{i}", UpBlock(a, b, b))
            if i >= 1:
                self.add_module(f"out{i}", Output(b))
        self.attn1 = AutoAttention(4 * w)

    def forward(self, z, coarse, detail, valid):
        x, images = coarse + self.generator(z), []
        for i in range(5):
            x = getattr(self, f"decoder{i}")(x)
            if i == 1:
                x = self.attn1(x, detail, valid)
            if i >= 1:
                images.append(getattr(self, f"out{i}")(x))
                x = torch.cat([x, images[-1]], dim=1)
        return images


class Discriminator(nn.Module):
    """Images in [-1, 1] to scores."""

    def __init__(self, width=32):
        super().__init__()
        w = width
        add_trunk(self, w)
        self.attn2 = AutoAttention(4 * w)
        self.block1 = ResBlock(4 * w, 4 * w, 4 * w)
        self.conv = conv(4 * w, 1, padding=0)

    def forward(self, x):
        x = self.block0(x)
        for i in range(4):
            x = getattr(self, f"encoder{i}")(self.attn2(x) if i == 2 else x)
        return self.conv(F.leaky_relu(self.block1(x), 0.1))
