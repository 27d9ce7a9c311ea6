"""LaMa's networks and losses in PyTorch, written from its specification, with the names of its public state dicts."""

import torch
import torch.nn.functional as F
from torch import nn

SHARE = 0.75


def conv(inputs, outputs, kernel, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False, padding_mode="reflect")


class FourierUnit(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels)

    def forward(self, x):
        spectrum = torch.view_as_real(torch.fft.rfftn(x, dim=(2, 3), norm="ortho"))  # [b, c, h, w, 2]
        parts = spectrum.movedim(-1, 2).flatten(1, 2)
        parts = F.relu(self.bn(self.conv_layer(parts))).unflatten(1, (-1, 2)).movedim(2, -1)
        return torch.fft.irfftn(torch.view_as_complex(parts.contiguous()), s=x.shape[2:], dim=(2, 3), norm="ortho")


class SpectralTransform(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        half = outputs // 2
        self.conv1 = nn.Sequential(nn.Conv2d(inputs, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())
        self.fu = FourierUnit(half)
        self.conv2 = nn.Conv2d(half, outputs, 1, bias=False)

    def forward(self, x):
        x = self.conv1(x)
        return self.conv2(x + self.fu(x))


class FFC(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, share_in, share_out):
        super().__init__()
        whole_in, whole_out = int(inputs * share_in), int(outputs * share_out)
        local_in, local_out = inputs - whole_in, outputs - whole_out
        self.convl2l = conv(local_in, local_out, kernel, stride)
        if whole_out:
            self.convl2g = conv(local_in, whole_out, kernel, stride)
        if whole_in:
            self.convg2l = conv(whole_in, local_out, kernel, stride)
            self.convg2g = SpectralTransform(whole_in, whole_out)

    def forward(self, local, whole):
        out_local = self.convl2l(local)
        out_whole = self.convl2g(local) if hasattr(self, "convl2g") else None
        if whole is not None:
            out_local, out_whole = out_local + self.convg2l(whole), out_whole + self.convg2g(whole)
        return out_local, out_whole


class FourierConv(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1, share_in=0.0, share_out=0.0):
        super().__init__()
        self.ffc = FFC(inputs, outputs, kernel, stride, share_in, share_out)
        whole = int(outputs * share_out)
        self.bn_l, self.bn_g = nn.BatchNorm2d(outputs - whole), nn.BatchNorm2d(whole) if whole else None

    def forward(self, pair):
        local, whole = self.ffc(*pair)
        return F.relu(self.bn_l(local)), None if whole is None else F.relu(self.bn_g(whole))


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = (FourierConv(channels, channels, 3, 1, SHARE, SHARE) for _ in range(2))

    def forward(self, pair):
        return tuple(a + b for a, b in zip(pair, self.conv2(self.conv1(pair)), strict=True))


class Start(nn.Module):
    """Make the pair of groups from the input; it takes the place of the original's padding layer."""

    def forward(self, x):
        return x, None


class Join(nn.Module):
    def forward(self, pair):
        return torch.cat(pair, dim=1)


class Generator(nn.Module):
    """[b, 4, h, w], the image without the hole and the hole, to an image in (0, 1)."""

    def __init__(self, width=64, blocks=18):
        super().__init__()
        layers = [Start(), FourierConv(4, width, 7)]
        for i in range(3):
            layers.append(FourierConv(width * 2**i, width * 2 ** (i + 1), 3, 2, 0.0, SHARE if i == 2 else 0.0))
        layers += [Block(8 * width) for _ in range(blocks)]
        layers.append(Join())
        relu = nn.ReLU()  # one module for all, as in the original
        for i in range(3, 0, -1):
            up = nn.ConvTranspose2d(width * 2**i, width * 2 ** (i - 1), 3, 2, padding=1, output_padding=1)
            layers += [up, nn.BatchNorm2d(width * 2 ** (i - 1)), relu]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Sigmoid()]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


class Discriminator(nn.Module):
    """[b, 3, h, w] to the maps of all layers; the last one is the logits."""

    def __init__(self, width=64):
        super().__init__()
        w = width
        for i, (inputs, outputs, stride) in enumerate(((3, w, 2), (w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 2),
                                                       (8 * w, 8 * w, 1))):
            layers = [nn.Conv2d(inputs, outputs, 4, stride, padding=2), nn.LeakyReLU(0.2)]
            if i:
                layers.insert(1, nn.BatchNorm2d(outputs))
            self.add_module(f"model{i}", nn.Sequential(*layers))
        self.model5 = nn.Sequential(nn.Conv2d(8 * w, 1, 4, 1, padding=2))

    def forward(self, x):
        maps = []
        for i in range(6):
            x = getattr(self, f"model{i}")(x)
            maps.append(x)
        return maps


class Training(nn.Module):
    """Both networks under the names of a training checkpoint."""

    def __init__(self, width=64, blocks=18, discriminator_width=64):
        super().__init__()
        self.generator, self.discriminator = Generator(width, blocks), Discriminator(discriminator_width)

    def forward(self, image, hole):
        """Return the prediction, cut from that of the padded image; the size must be a multiple of 8."""
        return self.generator(torch.cat([image * (1 - hole), hole], dim=1))


class Wrapper(nn.Module):
    """What is traced for a TorchScript archive: the completed image."""

    def __init__(self, training):
        super().__init__()
        self.model = nn.Module()
        self.model.generator = training.generator

    def forward(self, image, hole):
        predicted = self.model.generator(torch.cat([image * (1 - hole), hole], dim=1))
        return hole * predicted + (1 - hole) * image


def randomize(network, seed):
    """Set every norm's statistics, scale and bias to random values, so that an error in one of them shows.

    The generator's last layer is scaled, so that the image is far from grey.
    """
    network.generator.model[-2].weight.data *= 30
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.5, 0.5),
                                      (module.running_mean, -0.5, 0.5), (module.running_var, 0.5, 2.0)):
                tensor.data.uniform_(low, high, generator=generator)
    return network


def generator_terms(networks, raw, image, hole):
    """Return the terms of the generator's loss, but for the perceptual one."""
    *real, _ = networks.discriminator(image)
    *fake, logits = networks.discriminator(raw)
    return {
        "l1": ((1 - hole) * (raw - image).abs()).mean(),
        "adversarial": F.softplus(-logits).mean(),
        "feature_matching": torch.stack([F.mse_loss(f, r) for f, r in zip(fake, real, strict=True)]).mean(),
    }


def discriminator_terms(networks, raw, image, hole):
    """Return the cross-entropy, in which a prediction is real outside the hole, and R1."""
    image = image.clone().requires_grad_()
    real, fake = networks.discriminator(image)[-1], networks.discriminator(raw.detach())[-1]
    (gradient,) = torch.autograd.grad(real.sum(), image, create_graph=True)
    mask = F.interpolate(hole, size=fake.shape[2:], mode="nearest")
    of_fake = mask * F.softplus(fake) + (1 - mask) * F.softplus(-fake)
    return {
        "adversarial": (F.softplus(-real) + of_fake).mean(),
        "gradient_penalty": (gradient.flatten(1).norm(dim=1) ** 2).mean(),
    }
