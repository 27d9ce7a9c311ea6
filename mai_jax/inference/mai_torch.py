"""The generators of MAI and PConv in PyTorch, for weights that `mai export --output=FILE.safetensors` writes.

    generator = load("mai.safetensors")
    completed = complete(generator, image, hole)

Needs PyTorch alone; on a GPU after `generator.cuda()`. Equation and table numbers are those of the paper of MAI. The
attention stores one score for each pair of positions at 1/4 of the size: 64 MiB per image at 256 px.
"""

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNELS = {1: 7, 2: 5, 3: 5}  # Table 2; 3 from Encode_4 on
STAGES = {4: 1, 3: 2}  # decoder level: attention stage after it


class PartialConv(nn.Conv2d):
    """Eq. 1-5 for pairs of a feature map and its validity, one channel, which are concatenated."""

    def forward(self, *inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        window: Any = {"stride": self.stride, "padding": self.padding}
        convolved = F.conv2d(torch.cat([x * valid for x, valid in inputs], 1), self.weight, **window)
        valids: Any = sum(valid * x.shape[1] for x, valid in inputs)
        coverage = F.avg_pool2d(valids, self.kernel_size, **window, divisor_override=1)
        covered = coverage > 0
        out = convolved * torch.where(covered, self.weight[0].numel() / coverage, 0)
        return out if self.bias is None else torch.where(covered, out + self.bias[:, None, None], 0), covered.float()


class Attention(nn.Module):
    """Eq. 6-12."""

    merge: nn.Conv2d  # of Eq. 12
    added: nn.Conv2d  # of the residual form

    def __init__(self, channels: int, config: dict[str, Any]) -> None:
        super().__init__()
        self.scale, self.window, self.published = (
            config["attention_scale"], config["attention_window"], config["merge"] == "published")
        hidden = max(2 * channels // config["se_reduction"], 1)
        self.squeeze_excite = nn.ModuleDict({"squeeze": nn.Linear(2 * channels, hidden, bias=False),
                                             "excite": nn.Linear(hidden, 2 * channels, bias=False)})
        self.add_module("merge" if self.published else "added", nn.Conv2d(2 * channels, channels, 1))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        attended = self.attend(x, valid) / (1 if self.published else self.window**2)
        both = torch.cat([x, attended], 1)
        w = F.relu(self.squeeze_excite["squeeze"](both.mean((2, 3))))  # Eq. 9
        both = both * torch.sigmoid(self.squeeze_excite["excite"](w))[:, :, None, None]  # Eq. 10-11
        return self.merge(both) if self.published else x + self.added(both) / 10  # Eq. 12

    def attend(self, x: Tensor, valid: Tensor) -> Tensor:
        b, c, h, w = x.shape
        features, background = x.flatten(2).transpose(1, 2), valid.flatten(2).transpose(1, 2)
        squared = features.square().sum(2, keepdim=True)
        unit = torch.where(squared > 1e-12, features * squared.clamp_min(1e-12).rsqrt(), 0)
        similarity = self.scale * unit @ unit.transpose(1, 2)  # Eq. 6
        s = torch.where(background.transpose(1, 2) > 0, similarity, -1e30).softmax(2).view(b, h, w, h, w)  # Eq. 7
        for query, key in ((1, 3), (2, 4)):  # Eq. 8: the sum over the shifts of query and key together
            size, terms = s.shape[query], s
            s = s.clone()
            for i in range(1, min(self.window // 2, size - 1) + 1):
                for to, start in ((i, 0), (0, i)):
                    shifted = terms.narrow(query, start, size - i).narrow(key, start, size - i)
                    s.narrow(query, to, size - i).narrow(key, to, size - i).add_(shifted)
        out = s.reshape(b, h * w, h * w) @ (features * background)
        return out.transpose(1, 2).reshape(b, c, h, w)


class Generator(nn.Module):
    """Tables 1 and 2; `config` has the settings that the weights' file holds."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.depth, self.slope = config["depth"], config["leaky_slope"]
        channels = [3, *(config["width"] * min(2**i, 8) for i in range(self.depth))]
        for i in range(1, self.depth + 1):
            into, out, kernel = channels[i - 1], channels[i], KERNELS.get(i, 3)
            self.add_module(f"encode_{i}", PartialConv(into, out, kernel, 2, kernel // 2, bias=i == 1))
            self.add_module(f"decode_{i}", PartialConv(out + into, into, 3, 1, 1, bias=i == 1))
            if i > 1:
                self.add_module(f"encode_{i}_norm", nn.BatchNorm2d(out))
                self.add_module(f"decode_{i}_norm", nn.BatchNorm2d(into))
            if STAGES.get(i) in config["attention_stages"]:
                self.add_module(f"attention_{STAGES[i]}", Attention(into, config))

    def forward(self, image: Tensor, valid: Tensor) -> Tensor:
        """Return the prediction at all pixels; height and width must be multiples of 2^depth."""
        layers = dict(self.named_children())
        skips = [(image, valid)]
        for i in range(1, self.depth + 1):
            x, updated = layers[f"encode_{i}"](skips[-1])
            skips.append((F.relu(layers[f"encode_{i}_norm"](x) if i > 1 else x), updated))
        below = skips[-1]
        for i in range(self.depth, 0, -1):
            enlarged = F.interpolate(below[0], scale_factor=2), F.interpolate(below[1], scale_factor=2)
            x, updated = layers[f"decode_{i}"](enlarged, skips[i - 1])
            if i > 1:
                x = F.leaky_relu(layers[f"decode_{i}_norm"](x), self.slope)
            if (name := f"attention_{STAGES.get(i)}") in layers:
                step = valid.shape[2] // x.shape[2]
                x = layers[name](x, valid[:, :, step // 2 :: step, step // 2 :: step])
            below = x, updated
        return below[0]


def load(path: str | Path) -> Generator:
    """Return the generator with the weights of a file, for prediction. Its format is that of safetensors."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    generator = Generator(json.loads(header.pop("__metadata__")["config"]))
    generator.load_state_dict({
        name: torch.frombuffer(bytearray(data[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]]),
                               dtype=torch.float32).view(entry["shape"])
        for name, entry in header.items()})  # fmt: skip
    return generator.eval()


@torch.inference_mode()
def complete(generator: Generator, image: Tensor, hole: Tensor) -> Tensor:
    """Return images [b, 3, h, w] in [0, 1] of any size with their holes, [b, 1, h, w], 1 = hole, filled."""
    hole, multiple = hole >= 0.5, 2**generator.depth
    image = torch.where(hole, 0, image)
    pad = (0, -image.shape[3] % multiple, 0, -image.shape[2] % multiple)  # the padding counts as hole
    prediction = generator(F.pad(image, pad), F.pad((~hole).float(), pad))[:, :, : hole.shape[2], : hole.shape[3]]
    return torch.where(hole, prediction.clamp(0, 1), image)
