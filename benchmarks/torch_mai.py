"""MAI in PyTorch: the networks of `mai_jax.models.mai`. Reference of the tests, baseline of the benchmarks.

Written for speed: channels last, fused optimizer, no gradients that are not used. The names are those of `mai_jax`, so
that `torch_weights` can copy parameters. Images are [b, 3, h, w] in [0, 1]; `valid` is [b, 1, h, w], 1 = pixel given.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mai_jax import config as config_lib

ENCODER_KERNELS = {1: 7, 2: 5, 3: 5}  # Table 2; 3 from Encode_4 on
ATTENTION = {4: "attention_1", 3: "attention_2"}  # after Decode_4 and Decode_3
DISCRIMINATOR = ((1, 2), (2, 2), (4, 2), (8, 1))  # Table 3: (multiple of the width, stride) of Conv1-Conv4
VGG16_BLOCKS = ({"conv1_1": 1, "conv1_2": 1}, {"conv2_1": 2, "conv2_2": 2}, {"conv3_1": 4, "conv3_2": 4, "conv3_3": 4})
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class Masked(NamedTuple):
    x: Tensor
    valid: Tensor


class PartialConv(nn.Module):
    """Eq. 1-5, with a one-channel `valid` per input, weighted by the number of the input's channels."""

    def __init__(self, channels: int, features: int, kernel: int = 3, stride: int = 1, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.kaiming_normal_(torch.empty(features, channels, kernel, kernel)))
        self.bias = nn.Parameter(torch.zeros(features)) if bias else None
        self.window = {"stride": stride, "padding": kernel // 2}

    def forward(self, *inputs: Masked) -> Masked:
        x = torch.cat([masked.x * masked.valid.to(masked.x.dtype) for masked in inputs], 1)
        valid = sum(masked.valid * masked.x.shape[1] for masked in inputs)
        coverage = F.avg_pool2d(valid, self.weight.shape[2], **self.window, divisor_override=1)
        covered = coverage > 0
        ratio = torch.where(covered, self.weight[0].numel() / coverage, 0)
        out = F.conv2d(x, self.weight, **self.window)
        out = out * ratio.to(out.dtype)
        if self.bias is not None:
            out = torch.where(covered, out + self.bias.to(out.dtype)[:, None, None], 0)
        return Masked(out, covered.to(valid.dtype))


class Norm(nn.BatchNorm2d):
    """Batch normalization with flax's running statistics: the biased variance, and momentum 0.9."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        mean, var = torch.zeros_like(self.running_mean), torch.ones_like(self.running_var)
        out = F.batch_norm(x, mean, var, self.weight, self.bias, training=True, momentum=1.0, eps=self.eps)
        n = x.numel() // x.shape[1]
        self.running_mean.lerp_(mean, 0.1)
        self.running_var.lerp_(var * ((n - 1) / n), 0.1)
        return out


class Propagation(torch.autograd.Function):
    """Eq. 8 for scores [b, h, w, h, w]. It is its own adjoint, because the window is symmetric."""

    @staticmethod
    def forward(ctx: object, s: Tensor, window: int) -> Tensor:
        ctx.window = window
        return _propagate(s, window)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:
        return _propagate(gradient, ctx.window), None


def _propagate(s: Tensor, window: int) -> Tensor:
    for query_axis, key_axis in ((1, 3), (2, 4)):
        size, out = s.shape[query_axis], s.clone()
        for i in range(1, min(window // 2, size - 1) + 1):
            for target, source in ((i, 0), (0, i)):
                shifted = s.narrow(query_axis, source, size - i).narrow(key_axis, source, size - i)
                out.narrow(query_axis, target, size - i).narrow(key_axis, target, size - i).add_(shifted)
        s = out
    return s


class PixelwiseAttention(nn.Module):
    """Eq. 6-12."""

    def __init__(self, channels: int, config: config_lib.Generator) -> None:
        super().__init__()
        self.scale, self.window = config.attention_scale, config.attention_window
        self.squeeze_excite = SqueezeExcite(2 * channels, config.se_reduction)
        self.published = config.merge == "published"
        setattr(self, "merge" if self.published else "added", nn.Conv2d(2 * channels, channels, 1))

    def forward(self, features: Masked) -> Tensor:
        attended = self.attend(features)
        if self.published:
            return self.merge(self.squeeze_excite(torch.cat([features.x, attended], 1)))
        both = torch.cat([features.x, attended / self.window**2], 1)
        return features.x + self.added(self.squeeze_excite(both)) / 10

    def attend(self, features: Masked) -> Tensor:
        """Return phi_att. Values are zero outside of the background, so the scores there need not be."""
        b, c, h, w = features.x.shape
        x = features.x.permute(0, 2, 3, 1).reshape(b, h * w, c)
        background = features.valid.reshape(b, h * w, 1) > 0
        squared = x.float().square().sum(2, keepdim=True) if x.dtype != torch.float64 else x.square().sum(2, True)
        nonzero = squared > 1e-12
        unit = torch.where(nonzero, x * torch.where(nonzero, squared, 1).rsqrt().to(x.dtype), 0)
        mask = torch.where(background, 0, -1e30).to(unit.dtype).transpose(1, 2)
        similarity = torch.baddbmm(mask, unit, unit.transpose(1, 2), alpha=self.scale)  # Eq. 6
        scores = F.softmax(similarity, 2).reshape(b, h, w, h, w)  # Eq. 7
        propagated = Propagation.apply(scores, self.window).reshape(b, h * w, h * w)  # Eq. 8
        out = propagated.to(x.dtype) @ torch.where(background, x, 0)
        return out.reshape(b, h, w, c).permute(0, 3, 1, 2)


class SqueezeExcite(nn.Module):
    """Eq. 9-11."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, max(channels // reduction, 1), bias=False)
        self.excite = nn.Linear(self.squeeze.out_features, channels, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        w = torch.sigmoid(self.excite(F.relu(self.squeeze(u.mean((2, 3))))))
        return u * w[:, :, None, None]


class Generator(nn.Module):
    """Tables 1 and 2."""

    def __init__(self, config: config_lib.Generator, depth: int) -> None:
        super().__init__()
        self.depth, self.slope = depth, config.leaky_slope
        channels = [3, *(config.width * min(2**i, 8) for i in range(depth))]
        for i in range(1, depth + 1):
            conv = PartialConv(channels[i - 1], channels[i], ENCODER_KERNELS.get(i, 3), 2, bias=i == 1)
            setattr(self, f"encode_{i}", conv)
            setattr(self, f"encode_{i}_norm", Norm(channels[i]) if i > 1 else nn.Identity())
        for i in range(depth, 0, -1):
            both, features = channels[i] + channels[i - 1], channels[i - 1]
            setattr(self, f"decode_{i}", PartialConv(both, features, bias=i == 1))
            if i > 1:
                setattr(self, f"decode_{i}_norm", Norm(features))
            if i in ATTENTION:
                setattr(self, ATTENTION[i], PixelwiseAttention(features, config))

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        skips = [Masked(image, valid)]
        for i in range(1, self.depth + 1):
            x, updated_valid = getattr(self, f"encode_{i}")(skips[-1])
            skips.append(Masked(F.relu(getattr(self, f"encode_{i}_norm")(x), inplace=True), updated_valid))
        features = skips[-1]
        for i in range(self.depth, 1, -1):
            x, updated_valid = getattr(self, f"decode_{i}")(_upsample(features), skips[i - 1])
            x = F.leaky_relu(getattr(self, f"decode_{i}_norm")(x), self.slope, inplace=True)
            if i in ATTENTION:
                step = valid.shape[2] // x.shape[2]
                x = getattr(self, ATTENTION[i])(Masked(x, valid[:, :, step // 2 :: step, step // 2 :: step]))
            features = Masked(x, updated_valid)
        return self.decode_1(_upsample(features), skips[0]).x


def _upsample(features: Masked) -> Masked:
    return Masked(*(F.interpolate(part, scale_factor=2) for part in features))


class SpectralConv(nn.Conv2d):
    """A 4x4 convolution whose kernel is divided by its largest singular value; one step of power iteration per call."""

    def __init__(self, channels: int, features: int, stride: int) -> None:
        super().__init__(channels, features, 4, stride, padding=1)
        self.register_buffer("u", F.normalize(torch.randn(features), dim=0))
        self.register_buffer("sigma", torch.ones(()))

    def forward(self, x: Tensor, *, update: bool) -> Tensor:
        matrix = self.weight.flatten(1)
        with torch.no_grad():
            v = _unit(self.u @ matrix)
            u = _unit(matrix @ v)
        sigma = torch.dot(u, matrix @ v)
        if update:
            self.u.copy_(u)
            self.sigma.copy_(sigma.detach())
        return F.conv2d(x, self.weight / sigma, self.bias, self.stride, self.padding)


def _unit(x: Tensor) -> Tensor:
    return x * (x.square().sum() + 1e-12).rsqrt()


class PatchDiscriminator(nn.Module):
    """Images to logits, Table 3."""

    def __init__(self, config: config_lib.Discriminator) -> None:
        super().__init__()
        self.slope, channels = config.leaky_slope, 3
        for i, (multiple, stride) in enumerate((*DISCRIMINATOR, (0, 1)), start=1):
            features = config.width * multiple or 1
            setattr(self, f"conv{i}", SpectralConv(channels, features, stride))
            channels = features

    def forward(self, x: Tensor, *, update: bool) -> Tensor:
        for i in range(1, len(DISCRIMINATOR) + 1):
            x = F.leaky_relu(getattr(self, f"conv{i}")(x, update=update), self.slope, inplace=True)
        return self.conv5(x, update=update)


class VGG16(nn.Module):
    """The maps after pool1, pool2 and pool3; never trained."""

    def __init__(self, width: int, *, normalize: bool) -> None:
        super().__init__()
        self.normalize = normalize
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64)[:, None, None], persistent=False)
        channels = 3
        for block in VGG16_BLOCKS:
            for name, multiple in block.items():
                setattr(self, name, nn.Conv2d(channels, width * multiple, 3, padding=1))
                channels = width * multiple
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        x, pooled = (x - self.mean.to(x.dtype)) / self.std.to(x.dtype) if self.normalize else x, []
        for block in VGG16_BLOCKS:
            for name in block:
                x = F.relu(getattr(self, name)(x), inplace=True)
            x = F.max_pool2d(x, 2)
            pooled.append(x)
        return pooled


class MAI(nn.Module):
    """The generator, the discriminator and the feature extractor of a training step."""

    def __init__(self, config: config_lib.Config) -> None:
        super().__init__()
        self.generator = Generator(config.generator, config.image_size.bit_length() - 1)
        self.discriminator = PatchDiscriminator(config.discriminator)
        self.vgg16 = VGG16(config.vgg16.width, normalize=config.vgg16.normalize)
