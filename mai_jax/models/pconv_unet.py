"""The U-Net of partial convolutions [20]: the paper's rival, its ablation base, and the trunk of MAI's generator."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from mai_jax import config as config_lib
from mai_jax import losses
from mai_jax.config import Adam
from mai_jax.models.base import Aux, ByPlayer, pad_with_hole, rematerialised
from mai_jax.nn import vgg16
from mai_jax.nn.normalisation import EPSILON, MOMENTUM, RegionNorm
from mai_jax.nn.partial_conv import PartialConv
from mai_jax.nn.precision import narrow
from mai_jax.types import Batch, Completion, Masked, complete

ENCODER_KERNELS = {1: 7, 2: 5, 3: 5}  # Table 2; 3 from Encode_4 on


class UNet(nn.Module):
    """Tables 1 and 2 without the attention: `depth` partial convolutions each way."""

    config: config_lib.Generator
    depth: int
    dtype: str = "float32"  # of the activations; the last layer's are float32

    def channels(self, level: int) -> int:
        """Channels after Encode_level: 64, 128, 256, then 512 at the paper's width."""
        return self.config.width * min(2 ** (level - 1), 8)

    def refine(self, level: int, decoded: Masked, image: Masked) -> tuple[Masked, dict[str, Masked]]:
        """What a method makes of Decode_level's output, and what of it has a name. Here: nothing."""
        del level, image
        return decoded, {}

    @nn.compact
    def __call__(
        self, image: Masked, *, train: bool, freeze_encoder_norm: bool = False
    ) -> tuple[Float[Array, "b h w 3"], dict[str, Masked]]:
        """The raw prediction, and the named intermediates."""
        x = image._replace(x=narrow(image.x, self.dtype))
        skips = [x]
        for i in range(1, self.depth + 1):
            x = PartialConv(self.channels(i), ENCODER_KERNELS.get(i, 3), 2, use_bias=i == 1, name=f"encode_{i}")(x)
            if i > 1:
                x = self._normalise(x, image, i, f"encode_{i}_norm", running=not train or freeze_encoder_norm)
            x = x._replace(x=nn.relu(x.x))
            skips.append(x)

        named = {}
        for i in range(self.depth, 1, -1):
            decode = PartialConv(self.channels(i - 1), use_bias=False, name=f"decode_{i}")
            x = decode(x, skips[i - 1], enlarge_first=True)
            x = self._normalise(x, image, i - 1, f"decode_{i}_norm", running=not train)
            x = x._replace(x=nn.leaky_relu(x.x, self.config.leaky_slope))
            x, more = self.refine(i, x, image)
            named |= more
        x = x._replace(x=x.x.astype(image.x.dtype))
        return PartialConv(3, name="decode_1")(x, image, enlarge_first=True).x, named

    def _normalise(self, features: Masked, image: Masked, level: int, name: str, *, running: bool) -> Masked:
        x = features.x
        # Maps smaller than 8x8 have too few positions in a region: its variance is noise, and the gradient explodes.
        if self.config.norm == "region" and self.depth - level >= 3:
            norm = RegionNorm(running, name=name)
            return features._replace(x=norm(x, shrink_known(image.known, x.shape)))
        norm = nn.BatchNorm(running, momentum=MOMENTUM, epsilon=EPSILON, dtype=x.dtype, name=name)
        return features._replace(x=norm(x))


def shrink_known(known: Float[Array, "b h w 1"], shape: tuple[int, ...]) -> Float[Array, "b h2 w2 1"]:
    """The image's `known` at the size of a feature map, each position asking the pixel nearest to its centre."""
    step = known.shape[1] // shape[1]
    return known[:, step // 2 :: step, step // 2 :: step]


class UNetMethod:
    """What PConv and MAI share: a generator on the U-Net's trunk, and frozen VGG-16 features to judge by."""

    network = UNet

    def __init__(self, config: config_lib.Config, phase: str = "train") -> None:
        self.config = config
        self.phase = config.phases[phase]
        self.depth = config.image_size.bit_length() - 1  # 8 levels at 256: the innermost map is one pixel
        self.generator = self.network(config.generator, self.depth, config.dtype)
        self.vgg16 = vgg16.VGG16Features(config.vgg16.width, config.dtype)

    @cached_property
    def vgg16_params(self) -> dict[str, Any]:
        """Weights of the feature extractor: read for training only, never trained, not part of a checkpoint."""
        return vgg16.from_config(self.config.vgg16)

    def prepare(self) -> None:
        if self.judges_features:
            _ = self.vgg16_params

    @property
    def judges_features(self) -> bool:
        return bool(self.config.losses.perceptual or self.config.losses.style)

    def feature_terms(
        self, judged: Sequence[Float[Array, "b h w 3"]], truth: Float[Array, "b h w 3"]
    ) -> dict[str, Float[Array, ""]]:
        """Eq. 13-15, each summed over the images to be judged. None, and no VGG, where both terms weigh nothing."""
        if not self.judges_features:
            return {}
        wanted, *found = (self.vgg16.apply({"params": self.vgg16_params}, x) for x in (truth, *judged))
        return {term.__name__: sum(term(features, wanted) for features in found)
                for term in (losses.perceptual, losses.style)}

    def generate(self, params: ByPlayer, stats: ByPlayer, batch: Batch) -> tuple[Float[Array, "b h w 3"], Any]:
        """The raw prediction in training, and the generator's running statistics after it."""

        def forward(own: Any) -> tuple[tuple[Array, Any], Any]:
            variables = {"params": own, "batch_stats": stats["generator"]}
            return self.generator.apply(variables, Masked(*batch), train=True, mutable=["batch_stats"],
                                        freeze_encoder_norm=self.phase.freeze_encoder_norm)

        (raw, _), updated = rematerialised(forward, enabled=self.config.remat)(params["generator"])
        return raw, updated["batch_stats"]

    def paint(self, params: ByPlayer, stats: ByPlayer, batch: Batch, key: Array) -> Completion:
        """Pads to a multiple of 2^depth with hole, which partial convolution ignores, and cuts the result back."""
        del key  # nothing is drawn
        _, h, w, _ = batch.image.shape
        padded = pad_with_hole(batch, 2**self.depth)
        variables = {"params": params["generator"], "batch_stats": stats["generator"]}
        raw, named = self.generator.apply(variables, Masked(*padded), train=False)
        raw = raw[:, :h, :w]
        return Completion(raw, complete(raw, batch), named)


class PConv(UNetMethod):
    """The rival [20]: the U-Net alone, no discriminator; features are compared raw and completed."""

    players = ("generator",)

    @property
    def adam(self) -> dict[str, Adam]:
        return {"generator": Adam()}

    def init(self, key: Array, batch: Batch) -> tuple[ByPlayer, ByPlayer]:
        variables = self.generator.init(key, Masked(*batch), train=False)
        return {"generator": variables["params"]}, {"generator": variables["batch_stats"]}

    def loss(
        self, player: str, params: ByPlayer, stats: ByPlayer, batch: Batch, outputs: dict[str, Array], key: Array
    ) -> tuple[Float[Array, ""], Aux]:
        del player, outputs, key  # one player, who draws nothing
        raw, new_stats = self.generate(params, stats, batch)
        image = complete(raw, batch)
        terms = {
            "hole": losses.hole_l1(raw, batch),
            "valid": losses.valid_l1(raw, batch),
            **self.feature_terms([raw, image], batch.image),
            "total_variation": losses.total_variation(image, batch),
        }
        total = sum(getattr(self.config.losses, name) * term for name, term in terms.items())
        return total, Aux({"raw": raw}, new_stats, terms)
