"""Every setting of a run and its default, and the only place where a default stands.

A file in `configs/` returns one of these; `--config.<field>=...` overrides any field. The dataclasses are locked: a
misspelt field is an error. A checkpoint carries its config, so evaluation and inference need a folder and nothing else.
"""

import dataclasses
import itertools
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from mai_jax.types import InputError


@dataclass(slots=True)
class Data:
    """Where photographs come from. Both names: one of `data.sources.NAMED` or a folder, searched recursively."""

    train: str = "sample_photos"
    test: str = ""  # "" = the part that the training source holds out
    shorter_side: int = 350  # training photographs are resized so that their shorter side has this many pixels ...
    crop: str = "random"  # ... and cropped to image_size: "random" or "center"


@dataclass(slots=True)
class Holes:
    """Where holes come from: "drawn" = irregular strokes from a key, or a folder of mask files."""

    train: str = "drawn"
    test: str = "drawn"
    mask_means: str = "hole"  # what white means in mask files: "hole" or "known"
    min_ratio: float = 0.01  # share of the image that is hole, over which training draws uniformly
    max_ratio: float = 0.6


@dataclass(slots=True)
class Adam:
    """The optimiser of one player."""

    rate: float = 1.0  # of the phase's learning rate
    b1: float = 0.9
    b2: float = 0.999


@dataclass(slots=True)
class Generator:
    """Tables 1 and 2. The depth follows the image size."""

    width: int = 64  # channels of Encode_1; every other layer is a multiple of it
    leaky_slope: float = 0.2  # decoder activation; the paper gives no slope
    norm: str = "batch"  # or "region": given and missing positions apart, the paper's future work
    attention_stages: tuple[int, ...] = (1, 2)  # after Decode_4 (32x32 at 256) and after Decode_3 (64x64)
    attention: str = "blockwise"  # implementation of Eq. 6-8: see nn.attention
    attention_scale: float = 10.0  # lambda of Eq. 7; as contextual attention [24]
    attention_window: int = 3  # 2k + 1 of Eq. 8
    squeeze: int = 16  # reduction of the squeeze-excitation block; as [44]


@dataclass(slots=True)
class Discriminator:
    """Table 3."""

    width: int = 64
    leaky_slope: float = 0.2


@dataclass(slots=True)
class Losses:
    """The lambdas of Eq. 22, section 4.2."""

    hole: float = 6.0
    valid: float = 1.0
    perceptual: float = 0.05
    style: float = 120.0
    adversarial: float = 0.1
    total_variation: float = 0.1


@dataclass(slots=True)
class PIC:
    """The rival PIC [31], as its authors trained it."""

    width: int = 32  # channels of the first block; the widest have four times as many
    kl: float = 80.0  # of both divergences: 20 for each of four scales
    l1: float = 20.0  # of the pixel differences, which are summed over the scales; images in [-1, 1]
    adversarial: float = 1.0
    samples: int = 1  # how often an evaluation paints each hole; from 2 on it has a row for their mean and for the best


@dataclass(slots=True)
class EdgeConnect:
    """The rival EdgeConnect [21], as its authors trained it. Its widths are `generator`'s and `discriminator`'s."""

    sigma: float = 2.0  # pixels; how much a photograph is blurred before its edges are sought
    edge_adversarial: float = 1.0  # lambdas of the edge generator ...
    feature_matching: float = 10.0
    l1: float = 1.0  # ... and of the generator
    adversarial: float = 0.1
    perceptual: float = 0.1
    style: float = 250.0


@dataclass(slots=True)
class VGG16:
    """The feature extractor of Eq. 13-15; EdgeConnect takes VGG-19 from here, under the same rules."""

    weights: str = "hub"  # "hub" = fetch ImageNet weights once; a .safetensors file; "random" = untrained, for tests
    width: int = 64  # channels of the first block; anything but 64 goes with "random" only


@dataclass(slots=True)
class Phase:
    """A stretch of training. Adam's moments carry over from one phase to the next."""

    steps: int = 0
    learning_rate: float = 2e-4
    schedule: str = "constant"  # or "cosine", to zero at the end of the phase
    freeze_encoder_norm: bool = False  # encoder BatchNorm uses its running statistics and no longer updates them


@dataclass(slots=True)
class Evaluation:
    """How `evaluate.py` measures: one hole per photograph and ratio bin."""

    edges: tuple[float, ...] = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # ratio bins (lo, hi]
    batch_size: int = 8
    seed: int = 2020


@dataclass(slots=True)
class Run:
    """How a run is watched and kept. Nothing in here changes a number, so a resumed run may change it."""

    log_every: int = 100
    save_every: int = 1000
    keep: int = 3  # newest checkpoints that stay on disk
    pictures_every: int = 5000
    pictures: int = 8  # how many held-out photographs are painted each time
    read_threads: int = 2
    failures: int = 10  # steps in a row whose numbers may fail to be finite; such a step is left out
    profile_steps: int = 0  # steps of which a trace is written, soon after the start


@dataclass(slots=True)
class Config:
    method: str = "mai"  # a key of models.MODELS
    seed: int = 0
    image_size: int = 256
    batch_size: int = 6  # over all devices
    dtype: str = "float32"  # of the activations: or "bfloat16"; parameters and losses stay float32
    remat: bool = False  # compute activations between convolutions again in the backward pass, to save memory
    data: Data = field(default_factory=Data)
    holes: Holes = field(default_factory=Holes)
    generator: Generator = field(default_factory=Generator)
    discriminator: Discriminator = field(default_factory=Discriminator)
    losses: Losses = field(default_factory=Losses)
    pic: PIC = field(default_factory=PIC)
    edge_connect: EdgeConnect = field(default_factory=EdgeConnect)
    vgg16: VGG16 = field(default_factory=VGG16)
    train: Phase = field(default_factory=Phase)
    finetune: Phase = field(default_factory=lambda: Phase(learning_rate=5e-5, freeze_encoder_norm=True))
    evaluation: Evaluation = field(default_factory=Evaluation)
    run: Run = field(default_factory=Run)

    @property
    def phases(self) -> dict[str, Phase]:
        """The phases in the order in which they are run."""
        return {"train": self.train, "finetune": self.finetune}

    @property
    def total_steps(self) -> int:
        return sum(phase.steps for phase in self.phases.values())

    def phase_of(self, step: int) -> str:
        """The name of the phase in which step number `step`, 1 to `total_steps`, is done."""
        ends = itertools.accumulate(phase.steps for phase in self.phases.values())
        return next(name for name, end in zip(self.phases, ends, strict=True) if step <= end)


KINDS = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false"}
MOST = {  # far above what any machine can do, so that a wrong digit is a line and no memory is asked for
    "image_size": 4096, "data.shorter_side": 2**16, "batch_size": 2**20, "evaluation.batch_size": 2**20,
    "generator.width": 4096, "discriminator.width": 4096, "pic.width": 4096, "vgg16.width": 4096, "pic.samples": 1000,
    "generator.attention_window": 63, "seed": 2**32 - 1, "evaluation.seed": 2**32 - 1,
}  # fmt: skip


def check(config: Config) -> None:
    """Raises InputError, naming the field, for a value that no run could use."""
    _check_kinds(config, "config")

    def require(fine: bool, field_name: str, mend: str) -> None:
        if not fine:
            raise InputError(f"config.{field_name}={_get(config, field_name)!r}: {mend}")

    for name, most in MOST.items():
        require(_get(config, name) <= most, name, f"must be at most {most}")
    size = config.image_size
    require(size >= 32 and size & (size - 1) == 0, "image_size", "must be a power of two, 32 or more")
    for name in ("batch_size", "generator.width", "discriminator.width", "pic.width", "pic.samples", "vgg16.width",
                 "evaluation.batch_size", "generator.squeeze", "generator.attention_window", "run.log_every",
                 "run.save_every", "run.keep", "run.pictures_every", "run.read_threads", "run.failures"):
        require(_get(config, name) >= 1, name, "must be at least 1")
    require(config.generator.attention_window % 2 == 1, "generator.attention_window", "must be odd: 2k + 1 of Eq. 8")
    require(config.generator.attention in ("blockwise", "dense", "conv"), "generator.attention",
            "must be blockwise, dense or conv")
    require(config.generator.norm in ("batch", "region"), "generator.norm", "must be batch or region")
    require(set(config.generator.attention_stages) <= {1, 2}, "generator.attention_stages", "may hold 1 and 2")
    require(config.dtype in ("float32", "bfloat16"), "dtype", "must be float32 or bfloat16")
    require(config.data.crop in ("random", "center"), "data.crop", "must be random or center")
    require(config.data.shorter_side >= size, "data.shorter_side", f"must be at least image_size ({size})")
    require(config.holes.mask_means in ("hole", "known"), "holes.mask_means", "must be hole or known")
    require(0 < config.holes.min_ratio <= config.holes.max_ratio, "holes.min_ratio", "must be in (0, max_ratio]")
    require(config.holes.max_ratio < 1, "holes.max_ratio", "must be below 1")
    require(config.edge_connect.sigma > 0, "edge_connect.sigma", "must be positive")
    require(config.vgg16.width == 64 or config.vgg16.weights == "random", "vgg16.width",
            "trained weights have width 64; another width goes with vgg16.weights=random only")
    for name in ("run.profile_steps", "run.pictures", "seed", "evaluation.seed", "train.steps", "finetune.steps"):
        require(_get(config, name) >= 0, name, "must not be negative")
    edges = config.evaluation.edges
    rising = len(edges) >= 2 and all(a < b for a, b in itertools.pairwise(edges))
    require(rising and edges[0] >= 0 and edges[-1] <= 1, "evaluation.edges", "must rise within [0, 1]")
    for name, phase in config.phases.items():
        require(phase.learning_rate > 0, f"{name}.learning_rate", "must be positive")
        require(phase.schedule in ("constant", "cosine"), f"{name}.schedule", "must be constant or cosine")


def to_dict(config: Config) -> dict[str, Any]:
    """The config as nested dicts of JSON values."""
    return _as_json(dataclasses.asdict(config))


def from_dict(values: Any) -> Config:
    """The config that `to_dict` wrote, now or in an earlier version.

    A field that is missing did not exist yet and takes its default: the default of a new field is what was done before
    it. Raises InputError for a field that is unknown, since a later version wrote it, or of another kind.
    """
    return _build(Config, values, "config")


def differences(a: Config, b: Config) -> list[str]:
    """The fields in which two configs differ, as "config.field: value of a -> value of b"; `run` does not count."""
    flat_a, flat_b = _flatten(to_dict(a), "config"), _flatten(to_dict(b), "config")
    return [f"{name}: {flat_a[name]!r} -> {flat_b[name]!r}" for name in flat_a
            if flat_a[name] != flat_b[name] and not name.startswith("config.run.")]


def _get(config: Config, name: str) -> Any:
    for part in name.split("."):
        config = getattr(config, part)
    return config


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _check_kinds(section: Any, where: str) -> None:
    for f in dataclasses.fields(section):
        value, name = getattr(section, f.name), f"{where}.{f.name}"
        if dataclasses.is_dataclass(f.type) and isinstance(value, f.type):
            _check_kinds(value, name)
        else:
            _of_kind(f.type, value, name)


def _of_kind(kind: Any, value: Any, name: str) -> Any:
    """The value, whole numbers as floats where these are due. Raises InputError if it is of another kind."""
    if get_origin(kind) is tuple and type(value) is tuple:
        return tuple(_of_kind(get_args(kind)[0], item, name) for item in value)
    number = kind is float and type(value) in (int, float)
    if not (abs(value) < 1e300 if number else type(value) is kind):
        raise InputError(f"{name}={value!r}: must be {KINDS.get(kind, kind)}")
    return float(value) if number else value


def _build(cls: type, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise InputError(f"{where}={values!r}: must be fields with values; mai_jax did not write it")
    kinds, made = {f.name: f.type for f in dataclasses.fields(cls)}, {}
    if unknown := sorted(set(values) - set(kinds)):
        raise InputError(f"{where}: field {unknown[0]} is unknown; the checkpoint was written by another version of "
                         "mai_jax: use that version")
    for name, value in values.items():
        value = tuple(value) if isinstance(value, list) else value
        make = _build if dataclasses.is_dataclass(kinds[name]) else _of_kind
        made[name] = make(kinds[name], value, f"{where}.{name}")
    return cls(**made)


def _flatten(values: dict[str, Any], where: str) -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{where}.{name}") if isinstance(value, dict) else {f"{where}.{name}": value}
    return flat
