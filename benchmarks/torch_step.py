"""One training step of MAI in PyTorch: the losses of Eq. 13-22, both gradients at the old parameters, two Adams."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import torch_mai
from mai_jax import config as config_lib

Logs = dict[str, Tensor]


def generator_loss(
    networks: torch_mai.MAI, weights: config_lib.Losses, image: Tensor, known: Tensor
) -> tuple[Tensor, Tensor, Logs]:
    """(Eq. 22, the raw prediction, the terms)."""
    raw = networks.generator(image, known)
    with torch.no_grad():
        truth = networks.vgg16(image)
    predicted = networks.vgg16(raw)
    logits = networks.discriminator(raw, update=False)
    with torch.autocast(image.device.type, enabled=False):  # losses keep full precision
        raw, truth, predicted = raw.to(image.dtype), _full(truth, image), _full(predicted, image)
        difference = (raw - image).abs()
        terms = {
            "hole": ((1 - known) * difference).mean(),
            "valid": (known * difference).mean(),
            "perceptual": sum(F.l1_loss(p, t) for p, t in zip(predicted, truth, strict=True)),
            "style": sum(F.l1_loss(_gram(p), _gram(t)) for p, t in zip(predicted, truth, strict=True)),
            "adversarial": F.softplus(-logits.to(image.dtype)).mean(),
            "total_variation": _total_variation(torch.where(known > 0, image, raw), 1 - known),
        }
        return sum(getattr(weights, name) * term for name, term in terms.items()), raw, terms


def discriminator_loss(networks: torch_mai.MAI, image: Tensor, raw: Tensor) -> Tensor:
    """Eq. 16-18."""
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
    """`step(images, known) -> logs`: uint8 images [b, 3, h, w] on the networks' device; moves both players once.

    `compiled` hands both losses to torch.compile; `bfloat16` runs them under autocast.
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
        self.weights = config.losses
        players = (networks.generator, networks.discriminator)
        self.optimisers = [torch.optim.Adam(p.parameters(), config.train.learning_rate, fused=True) for p in players]

    def gradients(self, image: Tensor, known: Tensor) -> Logs:
        """Leaves each player's gradients in its parameters."""
        networks = self.networks
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bfloat16):
            networks.discriminator.requires_grad_(False)
            total, raw, terms = self.generator_loss(networks, self.weights, image, known)
            total.backward()
            networks.discriminator.requires_grad_(True)
            judged = self.discriminator_loss(networks, image, raw.detach())
            judged.backward()
        logs = {f"generator/{name}": term for name, term in (*terms.items(), ("total", total))}
        return {name: term.detach() for name, term in (*logs.items(), ("discriminator/adversarial", judged))}

    def __call__(self, images: Tensor, known: Tensor) -> Logs:
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        logs = self.gradients(images.to(known.dtype) / 255, known)
        for name, optimiser in zip(("generator", "discriminator"), self.optimisers, strict=True):
            gradients = [p.grad for p in optimiser.param_groups[0]["params"]]
            logs[f"{name}/gradient_norm"] = torch.nn.utils.get_total_norm(gradients)
            optimiser.step()
        return logs
