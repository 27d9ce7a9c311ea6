"""Memory of the page's server with many users at the same time, and over many repairs one after the other.

python -m benchmarks.page_load --model=runs/quickstart --users=50 --repairs=1000

Each user sends a photograph of 12 megapixels with a mask to /api/repair. The repairs after that are of 480 x 360
pixels.
"""

import http.client
import io
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from mai_jax.cli import app
from mai_jax.cli.arguments import Parser, integer

ROOT = Path(__file__).parents[1]
LARGE, SMALL = (4000, 3000), (480, 360)  # width and height
KIND = {"Content-Type": "multipart/form-data; boundary=b"}


def main() -> None:
    """Run the command."""
    parser = Parser(prog="python -m benchmarks.page_load", description=__doc__)
    parser.add_argument("--model", metavar="NAME|DIR", required=True, help="model of the page")
    parser.add_argument("--users", type=integer(1, 64), default=50, help="at the same time")
    parser.add_argument("--repairs", type=integer(10), default=1000, help="one after the other")
    parser.add_argument("--port", type=int, default=7999, help="a free port")
    given = parser.parse()
    command = [sys.executable, ROOT / "demo.py", f"--model={given.model}", f"--port={given.port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            print(server.stdout.readline().strip())
            _measure(server.pid, given.port, given.users, given.repairs)
        finally:
            server.terminate()


def _measure(pid: int, port: int, users: int, repairs: int) -> None:
    body = _request(LARGE, 120)
    print(f"started: {_memory(pid)}")
    for _ in range(2):
        seconds = _send(port, body)
    print(f"one user: {seconds:.1f} s, {_memory(pid)}")
    start = time.monotonic()
    with ThreadPoolExecutor(users) as threads:
        times = list(threads.map(lambda _: _send(port, body), range(users)))
    print(f"{users} users at once: {time.monotonic() - start:.0f} s, the last {max(times):.0f} s, {_memory(pid)}")
    body = _request(SMALL, 60)
    for count in range(repairs):
        _send(port, body)
        if count % (repairs // 10) == 0:
            print(f"repair {count + 1}: {_memory(pid)}")


def _request(size: tuple[int, int], side: int) -> bytes:
    """Return a multipart body with a JPEG of smooth noise and a mask with a box."""
    (width, height), rng = size, np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 16, width // 16, 3), np.uint8))
    mask = Image.new("L", size)
    mask.paste(255, (width // 2, height // 2, width // 2 + side, height // 2 + side // 2))
    pictures = {"image": (coarse.resize(size, Image.Resampling.BICUBIC), "JPEG"), "mask": (mask, "PNG")}
    parts = []
    for name, (picture, kind) in pictures.items():
        picture.save(file := io.BytesIO(), kind)
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'
        parts.append(head.encode() + file.getvalue())
    return b"\r\n".join([*parts, b"--b--\r\n"])


def _send(port: int, body: bytes) -> float:
    """Return the seconds of one repair."""
    start = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/api/repair", body, KIND)
    response = connection.getresponse()
    response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"status {response.status}")
    return time.monotonic() - start


def _memory(pid: int) -> str:
    """Return the memory of a process, now and at most, on Linux."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, most = (int(fields[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM"))
    return f"{now} MiB, at most {most} MiB"


if __name__ == "__main__":
    sys.exit(app.run(main))
