"""Write docs/training_time.md: how long the published configs train at least, on some machines.

python -m tools.training_time                    (reads docs/scaling.json, compiles nothing)
python -m tools.training_time --price=h100:PRICE,v5e:PRICE   also prints the cost, for prices per chip and hour
"""

import importlib.util
import json
import sys
from typing import NamedTuple

from mai_jax.cli import app
from mai_jax.cli.arguments import Parser
from mai_jax.config import Config
from mai_jax.errors import InputError
from tools import roofline, scaling
from tools.roofline import CHIPS

CONFIGS = ("places2", "celeba", "paris_streetview")


class Machine(NamedTuple):
    """A machine, and the record of docs/scaling.json that it is computed from."""

    name: str
    kind: str
    chips: int
    record: str


MACHINES = (
    Machine("v5e-8", "v5e", 8, "v5e:2x2 256 px"),
    Machine("v5p-8", "v5p", 4, "v5p:2x2x1 256 px"),  # this name counts cores, two per chip
    Machine("v6e-8", "v6e", 8, "v6e:2x2 256 px"),
    Machine("one H100", "h100", 1, "h100:1x1x1 256 px batch 64"),
    Machine("one H100, the config's batch", "h100", 1, "h100:1x1x1 256 px batch 6"),
    Machine("eight H100", "h100", 8, "h100:1x1x8 256 px batch 6"),
)

PAGE = """\
# Hours of training

Written by `python -m tools.training_time` from the compiled steps of [scaling.md](scaling.md) (MAI at 256 px in
bfloat16, without rematerialisation). **Every number is a lower bound of the roofline model, and none was measured**: a
step takes longer, as kernels do not reach the peak of their resource, and reading the images, validation and
checkpoints are not counted.

A config's images are its steps, of both phases, times its batch:
{images}.
On more devices the batch is larger, and the steps are scaled by 6 / batch, as the head of the config says; the images
are the same.

{table}

cost = chip-hours x price of a chip and hour; `--price=h100:PRICE` prints it for a price of yours.
"""


def main() -> None:
    """Run the command."""
    parser = Parser(prog="python -m tools.training_time", description=__doc__)
    parser.add_argument("--price", default="", help="prices per chip and hour, such as h100:PRICE,v5e:PRICE")
    prices = parse_prices(parser.parse().price)
    store, images = json.loads(scaling.STORE.read_text()), {name: trained_images(load(name)) for name in CONFIGS}
    (scaling.DOCS / "training_time.md").write_text(page(store, images))
    for machine in MACHINES:
        if machine.kind in prices:
            costs = (f"{name} at least {prices[machine.kind] * machine.chips * hours(machine, store, n):,.0f}"
                     for name, n in images.items())  # fmt: skip
            print(f"{machine.name}: {', '.join(costs)}")


def parse_prices(text: str) -> dict[str, float]:
    """Return the prices by kind of chip. Raises InputError for an unknown kind and for what is no number."""
    prices = {}
    for part in filter(None, text.split(",")):
        kind, _, price = part.partition(":")
        try:
            prices[kind] = float(price)
        except ValueError:
            raise InputError(f"--price={text}: {price!r} is not a number; write {kind}:PRICE") from None
        if kind not in CHIPS:
            raise InputError(f"--price={text}: unknown kind of chip {kind!r}; there are {', '.join(CHIPS)}")
    return prices


def load(name: str) -> Config:
    """Return a config of the folder configs/."""
    spec = importlib.util.spec_from_file_location(name, scaling.DOCS.parent / "configs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def trained_images(config: Config) -> int:
    """Return the number of images that a config trains on, repetitions included."""
    return config.batch_size * sum(phase.steps for phase in config.phases.values())


def hours(machine: Machine, store: dict, images: int) -> float:
    """Return the least hours that a machine takes for that many images."""
    record = store[machine.record]
    batch = record.get("batch") or scaling.BATCH[record["size"]]
    costs = scaling.costs_from_json(record.get("found") or record)
    seconds = max(roofline.times(costs, CHIPS[machine.kind], machine.chips))
    return images / (machine.chips * batch) * seconds / 3600


def page(store: dict, images: dict[str, int]) -> str:
    """Return the page."""
    rows = [f"| machine | chips | images per chip | {' | '.join(f'`{name}`: hours | chip-hours' for name in images)} |",
            "|---" * (3 + 2 * len(images)) + "|"]  # fmt: skip
    for machine in MACHINES:
        record = store[machine.record]
        batch = record.get("batch") or scaling.BATCH[record["size"]]
        found = [hours(machine, store, n) for n in images.values()]
        cells = " | ".join(f"{h:,.1f} | {machine.chips * h:,.1f}" for h in found)
        rows.append(f"| {machine.name} | {machine.chips} | {batch} | {cells} |")
    listed = ", ".join(f"`{name}` {n / 1e6:g} million" for name, n in images.items())
    return PAGE.format(images=listed, table="\n".join(rows))


if __name__ == "__main__":
    sys.exit(app.run(main))
