"""Small valid files of every untrusted kind, from which the fuzzer makes its inputs."""

import hashlib
import json
import tempfile
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from PIL import Image

from mai_jax import config as config_lib
from mai_jax.batch import Batch
from mai_jax.config import Config
from mai_jax.convert import pconv
from mai_jax.data import mask_reader
from mai_jax.evaluation.mask_benchmark import manifest, plain_png
from mai_jax.models.mai import MAI
from mai_jax.models.pconv import PConv, PublicPConv
from mai_jax.training import checkpointing, nonfinite, packed_model, train_state
from tests.convert.torch_bytes import legacy, made, mapping, name, number, storage, tensor, zipped
from tests.image_io import described_files
from tests.image_io.photo_files import LOSSLESS, image, saved
from tests.torture.mutation import Tree

SUFFIX = {"TIFF": "tif", "JPEG": "jpg", "JPEG2000": "jp2"}
WEIGHTS = {"a.weight": (4, 3, 3, 3), "a.bias": (4,)}
SMALL = {"conv": {"kernel": (3, 3, 2, 4), "bias": (4,)}}
SIZE = 20
EPS = (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n"
       b"(ran) print\n20 20 8 [20 0 0 -20 0 20] {<ff>} image\n%%EOF\n")


def photographs() -> list[Tree]:
    """Return photographs of every format, mode and bit depth, some with all kinds of metadata."""
    rng = np.random.default_rng(0)
    plain = {kind: make(rng, (SIZE, SIZE)) for kind, make in LOSSLESS.items()}
    colours = Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
    plain |= {f"{format} lossy": saved(colours, format) for format in ("JPEG", "WEBP", "AVIF")}
    plain["JPEG progressive"] = saved(colours, "JPEG", progressive=True)
    plain["JPEG CMYK"] = saved(colours.convert("CMYK"), "JPEG")
    with mock.patch.object(described_files, "VALUES", np.array(colours)):
        plain |= {f"{format} described": described_files.file_with_all_metadata(format)
                  for format in ("PNG", "TIFF", "WEBP", "AVIF", "JPEG")}  # fmt: skip
    repeated = [kind for kind in plain if "described" in kind]
    return [{f"photo.{_suffix(kind)}": plain[kind]} for kind in [*plain, *repeated, *repeated]]


def any_images() -> list[Tree]:
    """Return `photographs`, and files of other formats that image libraries open."""
    values = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    others = {format: saved(image(values, "RGB"), format) for format in ("TGA", "PPM", "JPEG2000")}
    others["PPM 16"] = b"P5 20 20 65535\n" + values[:, :, :2].tobytes()
    unknown = [EPS, *(saved(image(values, "RGB"), format) for format in ("ICNS", "PCX", "SGI", "PDF"))]
    return [*photographs(), *({f"photo.{_suffix(format)}": encoded} for format, encoded in others.items()),
            *({"photo.jpg": encoded} for encoded in unknown)]  # fmt: skip


def _suffix(kind: str) -> str:
    format = kind.split()[0]
    return SUFFIX.get(format, format.lower())


def mask() -> bytes:
    hole = np.zeros((SIZE, SIZE), bool)
    hole[4:9, 5:15] = True
    return plain_png.encode(hole)


def jobs() -> list[Tree]:
    return [tree | {"mask.png": mask()} for tree in photographs()]


def folders() -> list[Tree]:
    """Return folders of two images."""
    trees = any_images()
    return [{f"one.{_extension(a)}": _only_content(a), f"sub/two.{_extension(b)}": _only_content(b)}
            for a, b in zip(trees, trees[1:] + trees[:1], strict=True)]


def pairs() -> list[Tree]:
    """Return folders of predictions, ground truth and masks."""
    colours = image(np.random.default_rng(2).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), "RGB")
    eight = [{f"b.{_suffix(format)}": saved(colours, format)}
             for format in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "TGA")]  # fmt: skip
    truth = saved(Image.new("RGB", (SIZE, SIZE), "red"), "PNG")
    return [{"predictions/a.png": truth, f"predictions/b.{_extension(tree)}": _only_content(tree), "truth/a.png": truth,
             "truth/b.png": truth, "masks/a.png": mask(), "masks/b.png": mask()} for tree in eight]


def _extension(tree: Tree) -> str:
    return next(iter(tree)).rpartition(".")[2]


def _only_content(tree: Tree) -> bytes:
    return next(iter(tree.values()))


def manifests() -> list[Tree]:
    trees = []
    for size in (None, 32):
        with tempfile.TemporaryDirectory() as scratch:
            folder, entries, content = Path(scratch), [], mask()
            for name in ("a", "b", "c"):
                (folder / f"{name}.png").write_bytes(content)
                hole = manifest.resize(mask_reader.read(content, name, "hole").hole, size)
                entries.append(manifest.entry_of(name, f"{name}.png", content, hole, (0.01, 0.3, 0.6)))
            manifest.write(folder / manifest.NAME, entries, size=size, edges=[0.01, 0.3, 0.6], mask_means="hole",
                           made_by={"seed": 0})
            trees.append(read_tree(folder))
    return trees


def small_params() -> dict:
    leaf = lambda shape: jnp.arange(np.prod(shape), dtype=jnp.float32).reshape(shape)  # noqa: E731
    return jax.tree.map(leaf, SMALL, is_leaf=lambda node: isinstance(node, tuple))


def checkpoints() -> list[Tree]:
    return [_checkpoint(Config(seed=3), {"params": small_params()})]


def trained() -> list[Tree]:
    """Return a checkpoint of a small MAI."""
    config = Config(image_size=32)
    config.generator.width = config.discriminator.width = 8
    batch = Batch(jnp.zeros((1, 32, 32, 3)), jnp.ones((1, 32, 32, 1)))
    variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype),
                             jax.eval_shape(MAI(config).init, jax.random.key(0), batch))
    return [_checkpoint(config, {"params": variables})]


def _checkpoint(config: Config, items: dict) -> Tree:
    with tempfile.TemporaryDirectory() as scratch:
        with checkpointing.CheckpointWriter(Path(scratch), keep=1) as writer:
            writer.save(7, items, {"config": config_lib.to_dict(config)})
        return read_tree(Path(scratch))


def packed() -> list[Tree]:
    variables = {"params": {"generator": small_params()}, "batch_stats": {}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "packed")
        packed_model.write(folder, Config(seed=3), variables, 7, packed_model.About("small", "A small model."))
        return [read_tree(folder)]


def failed_steps() -> list[Tree]:
    """Return the record of a failed step of a narrow PConv."""
    config = Config(method="pconv", image_size=32, batch_size=1)
    config.generator.width, config.main_phase.steps = 1, 9
    variables = jax.eval_shape(lambda: train_state.init_state(PConv(config), config).variables)
    arrays = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in nonfinite.named_leaves(variables).items()}
    arrays |= {"images": np.zeros((1, 32, 32, 3), np.uint8), "valid": np.ones((1, 32, 32, 1), np.uint8)}
    metadata = {"config": config_lib.to_dict(config), "step": 3, "ids": ["a.png"], "terms": {"generator/hole": "nan"}}
    return [{"3.safetensors": safetensors.numpy.save(arrays, metadata={"mai_jax": json.dumps(metadata)})}]


def state_dicts() -> list[Tree]:
    arrays = {"0": np.arange(12, dtype=np.float32), "1": np.array([5], np.int64)}
    state = mapping(weight=tensor(storage("0", 12), 2, (2, 3), (4, 1)),
                    count=tensor(storage("1", 1, "LongStorage"), 0, (), ()))  # fmt: skip
    nested = mapping(iteration=number(7), generator=state)
    script = made(name("__torch__", "Net"), mapping(model=made(name("__torch__.nn", "Model"), state)))
    tensors = {name: np.ones(shape, np.float32) for name, shape in WEIGHTS.items()}
    return [{"net.pth": legacy(state, arrays)}, {"net.pth": zipped(state, arrays)}, {"net.pth": legacy(nested, arrays)},
            {"net.pth": zipped(nested, arrays)}, {"net.pt": zipped(script, arrays, code="def f(): pass\n")},
            {"net.safetensors": safetensors.numpy.save(tensors)}]


def public_pconv() -> list[Tree]:
    """Return a narrow network with the parameter names of the public PConv."""
    config = Config(method="pconv_public")
    config.generator.width = 1
    batch = Batch(*(jax.ShapeDtypeStruct((1, 128, 128, channels), jnp.float32) for channels in (3, 1)))
    params = jax.eval_shape(PublicPConv(config).init, jax.random.key(0), batch)["params"]
    tensors = {}
    for layer, module in pconv.LAYERS.items():
        height, width, inputs, outputs = params["generator"][layer]["kernel"].shape
        tensors |= {f"{module}.conv.{part}.weight": np.ones((outputs, inputs, height, width), np.float32)
                    for part in ("input_conv", "mask_conv")}  # fmt: skip
        if layer == "decode_1":
            tensors[f"{module}.conv.input_conv.bias"] = np.zeros(outputs, np.float32)
        elif layer != "encode_1":
            tensors |= {f"{module}.bn.{part}": np.ones(outputs, np.float32)
                        for part in ("weight", "bias", "running_mean", "running_var")}  # fmt: skip
    return [{"net.safetensors": safetensors.numpy.save(tensors)}]


def weights() -> list[Tree]:
    trees = []
    for dtype in (np.float32, np.float16, np.float64):
        tensors = {name: np.ones(shape, dtype) for name, shape in WEIGHTS.items()}
        trees.append({"net.safetensors": safetensors.numpy.save(tensors, {"made": "here"})})
    header = json.dumps({"a.bias": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]},
                         "a.weight": {"dtype": "BF16", "shape": [4, 3, 3, 3], "data_offsets": [8, 224]}}).encode()
    return [*trees, {"net.safetensors": len(header).to_bytes(8, "little") + header + bytes(224)}]


def configs() -> list[Tree]:
    return [{"config.json": json.dumps(config_lib.to_dict(Config(method=name))).encode()} for name in ("mai", "pic")]


def overrides() -> list[Tree]:
    lines = ["--config.image_size=64", "--config.main_phase.learning_rate=0.001", "--config.method=pic",
             "--config.evaluation.edges=(0.1,0.2)", "--config.generator.norm=region", "--config.remat=true",
             "--config.seed=3", "--config.data.train=photos", "--config.run.keep_checkpoints=1"]  # fmt: skip
    return [{"flags.txt": "\n".join(lines[i:] + lines[:i]).encode()} for i in range(0, len(lines), 3)]


def comparisons() -> list[Tree]:
    """Return small results of `mai compare`."""
    pairs = [{"id": name, "hole": "drawn-0", "pair": "0123", "hole_ratio": 0.25} for name in ("a.png", "b.png")]
    rows = [record | {"psnr": 20.5, "ssim": 0.9, "mean_colour": {"psnr": 12.0, "ssim": 0.5}} for record in pairs]
    times = {"ms_per_image": {"MAI": 2.0}, "of_each_round": {"MAI": [2.0, 2.5]}, "device": "1 x cpu", "jax": "0"}
    tree: Tree = {"table5.json": json.dumps(times).encode()}
    digest = hashlib.sha256("".join(f"{r['id']}\0{r['hole']}\0{r['pair']}\n" for r in rows).encode()).hexdigest()
    for method in ("mai", "pconv"):
        result = {"method": method.upper(), "protocol": "default", "about": "words", "pairs": 2,
                  "edges": [0.1, 0.3, 0.6], "pairs_sha256": digest, "mai_jax": "0"}  # fmt: skip
        log = [{"step": 10 * i, "speed/steps_per_second": 5.0, "generator/total": "nan"} for i in (1, 2)]
        tree |= {f"{method}/result.json": json.dumps(result).encode(),
                 f"{method}/records.jsonl": "".join(json.dumps(record) + "\n" for record in rows).encode(),
                 f"{method}/config.json": json.dumps(config_lib.to_dict(Config())).encode(),
                 f"{method}/log.jsonl": "".join(json.dumps(line) + "\n" for line in log).encode()}  # fmt: skip
    return [tree]


def requests() -> list[Tree]:
    """Return HTTP requests of a browser to the page."""
    def request(line: str, body: bytes = b"", *more: str) -> Tree:
        length = [f"Content-Length: {len(body)}"] if body else []
        head = "\r\n".join([f"{line} HTTP/1.1", "Host: 127.0.0.1:7860", *length, *more])
        return {"request.http": head.encode() + b"\r\n\r\n" + body}

    def form(**fields: bytes) -> bytes:
        return b"".join(b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
                        % (name.encode(), b'; filename="a.png"' if len(content) > 40 else b"", content)
                        for name, content in fields.items()) + b"--b--\r\n"  # fmt: skip

    kind = "Content-Type: multipart/form-data; boundary=b"
    photo, hole, layer = saved(Image.new("RGB", (SIZE, SIZE)), "PNG"), mask(), _layer()
    return [request("GET /"), request("GET /static/page.css"), request("GET /static/..%2f..%2fetc%2fpasswd"),
            request("GET /api/queue?ticket=a"), request("POST /api/preview", form(image=photo), kind),
            request("POST /api/mask", form(mask=hole, size=b"%d,%d" % (SIZE, SIZE)), kind, "Origin: http://127.0.0.1:7860"),
            request("POST /api/repair", form(image=photo, mask=hole, grow=b"1", mask_means=b"valid"), kind),
            request("POST /api/fill", form(image=photo, strokes=_strokes(), layer=layer, layer_at=b"1,2"), kind),
            request("POST /api/repair", b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked")]  # fmt: skip


def visits() -> list[Tree]:
    """Return the inputs of a visit of the page: a photograph, a mask, strokes, and a layer of filled pixels."""
    return [tree | {"mask.png": mask(), "strokes.png": _strokes(), "layer.png": _layer()} for tree in photographs()]


def _strokes() -> bytes:
    alpha = np.zeros((SIZE, SIZE, 4), np.uint8)
    alpha[2:9, 3:7, 3] = 255
    return saved(Image.fromarray(alpha), "PNG")


def _layer() -> bytes:
    return saved(Image.new("RGBA", (SIZE // 2, SIZE // 3), (1, 2, 3, 255)), "PNG")


def read_tree(folder: Path) -> Tree:
    """Return all regular files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}  # fmt: skip
