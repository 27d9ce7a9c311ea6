"""Seconds and memory to fill a hole of 300 x 300 pixels in a photograph of 12 megapixels.

python -m benchmarks.large_photo --checkpoint=DIR

The photograph is noise. The first call, which compiles, is reported separately. Memory is the process's peak.
"""

import resource
import statistics
import sys
import time

import numpy as np

from benchmarks import records
from mai_jax.cli import app
from mai_jax.cli.arguments import Parser
from mai_jax.inference import Inpainter

CALLS = 7


def main() -> None:
    parser = Parser(prog="python -m benchmarks.large_photo", description=__doc__)
    parser.add_argument("--checkpoint", metavar="DIR", required=True, help="folder that training wrote")
    given = parser.parse()
    app.enable_compilation_cache()
    inpainter = Inpainter.from_checkpoint(given.checkpoint)
    image = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), np.uint8)
    hole = np.zeros((3000, 4000), bool)
    hole[1300:1600, 2100:2400] = True
    seconds = []
    for _ in range(1 + CALLS):
        begin = time.perf_counter()
        filled = inpainter(image, hole)
        seconds.append(time.perf_counter() - begin)
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    first, median = seconds[0], statistics.median(seconds[1:])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # Linux counts in kB
    print(f"first call {first:.1f} s, then {median:.2f} s ({min(seconds[1:]):.2f} to {max(seconds[1:]):.2f}); "
          f"at most {memory:.2f} GB")
    records.append("large_photo", {"image_size": inpainter.config.image_size, "width": inpainter.config.generator.width,
                                   "first_s": round(first, 2), "median_s": round(median, 3), "GB": round(memory, 2)})


if __name__ == "__main__":
    sys.exit(app.run(main))
