"""MAI's training step in PyTorch: the losses of Eq. 13-22, both gradients at the old parameters, two Adam updates."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import torch_mai
from mai_jax import config as config_lib

Logs = dict[str, Tensor]


def generator_loss(
    networks: torch_mai.MAI, weights: config_lib.Losses, image: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor, Logs]:
    """Return the total of Eq. 22, the raw prediction, and the terms."""
    raw = networks.generator(image, valid)
    with torch.no_grad():
        truth = networks.vgg16(image)
    predicted = networks.vgg16(raw)
    logits = networks.discriminator(raw, update=False)
    with torch.autocast(image.device.type, enabled=False):  # losses keep full precision
        raw, truth, predicted = raw.to(image.dtype), _full(truth, image), _full(predicted, image)
        difference = (raw - image).abs()
        terms = {
            "hole": ((1 - valid) * difference).mean(),
            "valid": (valid * difference).mean(),
            "perceptual": sum(F.l1_loss(p, t) for p, t in zip(predicted, truth, strict=True)),
            "style": sum(F.l1_loss(_gram(p), _gram(t)) for p, t in zip(predicted, truth, strict=True)),
            "adversarial": F.softplus(-logits.to(image.dtype)).mean(),
            "total_variation": _total_variation(torch.where(valid > 0, image, raw), 1 - valid),
        }
        return sum(getattr(weights, name) * term for name, term in terms.items()), raw, terms


def discriminator_loss(networks: torch_mai.MAI, image: Tensor, raw: Tensor) -> Tensor:
    """Return the adversarial loss of Eq. 16-18."""
    real, fake = networks.discriminator(torch.cat([image, raw]), update=True).to(image.dtype).chunk(2)
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _full(features: list[Tensor], like: Tensor) -> list[Tensor]:
    return [f.to(like.dtype) for f in features]


def _gram(features: Tensor) -> Tensor:
    b, c, h, w = features.shape
    flat = features.permute(0, 2, 3, 1).reshape(b, h * w, c)
    return flat.transpose(1, 2) @ flat / (h * w * c)


def _total_variation(image: Tensor, hole: Tensor) -> Tensor:
    down = torch.maximum(hole[:, :, 1:], hole[:, :, :-1]) * (image[:, :, 1:] - image[:, :, :-1]).abs()
    across = torch.maximum(hole[..., 1:], hole[..., :-1]) * (image[..., 1:] - image[..., :-1]).abs()
    return down.mean() + across.mean()


class Step:
    """A training step: called with uint8 images [b, 3, h, w] and `valid`, it updates both networks, returns the logs.

    `compiled` passes both losses to torch.compile; `bfloat16` runs them under autocast.
    """

    def __init__(
        self, networks: torch_mai.MAI, config: config_lib.Config, *, compiled: bool = False, bfloat16: bool = False
    ) -> None:
        self.networks, self.bfloat16 = networks, bfloat16
        self.generator_loss: Callable[..., tuple[Tensor, Tensor, Logs]] = generator_loss
        self.discriminator_loss: Callable[..., Tensor] = discriminator_loss
        if compiled:
            self.generator_loss = torch.compile(generator_loss)
            self.discriminator_loss = torch.compile(discriminator_loss)
        self.weights, learning_rate = config.losses, config.main_phase.learning_rate
        self.optimizers = [torch.optim.Adam(network.parameters(), learning_rate, fused=True)
                           for network in (networks.generator, networks.discriminator)]

    def gradients(self, image: Tensor, valid: Tensor) -> Logs:
        """Add each network's gradients to those of its parameters; return the loss terms."""
        networks = self.networks
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bfloat16):
            networks.discriminator.requires_grad_(False)
            total, raw, terms = self.generator_loss(networks, self.weights, image, valid)
            total.backward()
            networks.discriminator.requires_grad_(True)
            adversarial = self.discriminator_loss(networks, image, raw.detach())
            adversarial.backward()
        logs = {f"generator/{name}": term for name, term in (*terms.items(), ("total", total))}
        return {name: term.detach() for name, term in (*logs.items(), ("discriminator/adversarial", adversarial))}

    def __call__(self, images: Tensor, valid: Tensor) -> Logs:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        logs = self.gradients(images.to(valid.dtype) / 255, valid)
        for name, optimizer in zip(("generator", "discriminator"), self.optimizers, strict=True):
            gradients = [p.grad for p in optimizer.param_groups[0]["params"]]
            logs[f"{name}/gradient_norm"] = torch.nn.utils.get_total_norm(gradients)
            optimizer.step()
        return logs
