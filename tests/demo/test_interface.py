"""The HTTP interface: a photograph and a mask in, the repaired file out; and nothing else of the machine."""

import asyncio
import contextlib
import http.client
import io
import threading
import time
from urllib.parse import quote, unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from mai_jax.demo import gate, lane, routes, server
from tests.demo.browsing import bounds, encoded, noise

SECRET = b"private content"
BOX = np.s_[4:12, 6:20]


def request(address, path, method="GET", body=None, host=None, **headers):
    """Return status, headers and body of the response to a request that is sent unchanged."""
    place = urlsplit(address).netloc
    connection = http.client.HTTPConnection(place, timeout=120)
    headers = {"Host": host or place} | {k.replace("_", "-"): v for k, v in headers.items()}
    with contextlib.closing(connection):
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def form(**fields):
    """Return a multipart body; a value is a text or (file name, content)."""
    parts = []
    for name, value in fields.items():
        file_name, content = value if isinstance(value, tuple) else (None, value.encode())
        file_field = f'; filename="{file_name}"' if file_name is not None else ""
        parts.append(f'--b\r\nContent-Disposition: form-data; name="{name}"{file_field}\r\n\r\n'.encode() + content)
    return b"\r\n".join([*parts, b"--b--\r\n"])


def flat(value, height=20, width=30):
    return encoded(np.full((height, width), value, np.uint8))


def post(address, path, headers=None, **fields):
    return request(address, path, "POST", form(**fields), Content_Type="multipart/form-data; boundary=b",
                   **headers or {})


@pytest.fixture(scope="module")
def photo():
    return noise(20, 30)


@pytest.fixture(scope="module")
def fields(photo):
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[BOX] = 255
    return {"image": ("my photo.png", encoded(photo)), "mask": ("mask.png", encoded(mask))}


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def test_one_image_and_one_mask_give_the_repaired_file(address, photo, fields):
    status, headers, body = post(address, "/api/repair", **fields)
    assert status == 200 and headers["Content-Disposition"].endswith("my%20photo_filled.png")
    assert "In this mask white is the hole: 19% of the photo" in unquote(headers["X-Remark"])
    changed = (pixels(body) != photo).any(-1)
    expected = np.zeros_like(changed)
    expected[BOX] = True
    np.testing.assert_array_equal(changed, expected)
    kept = pixels(post(address, "/api/repair", mask_means="valid", **fields)[2])
    np.testing.assert_array_equal((kept != photo).any(-1), ~expected)
    grown = pixels(post(address, "/api/repair", grow="2", model="other", **fields)[2])
    assert (grown != photo).any(-1)[2:14, 6:20].all()
    shrunk = pixels(post(address, "/api/repair", grow="-2", **fields)[2])
    np.testing.assert_array_equal(bounds((shrunk != photo).any(-1)), [8, 6, 17, 9])


@pytest.mark.parametrize(("changes", "message"), [
    ({"image": None}, "image: is missing"), ({"mask": None}, "mask: is missing"), ({"image": "text"}, "must be a file"),
    ({"image": ("a.png", b"")}, "a.png: is empty"), ({"image": ("a.png", b"x" * 99)}, "a.png: is not an image"),
    ({"mask": ("m.png", flat(0, 30, 20))}, "m.png: the mask is 20 x 30 and its photograph 30 x 20"),
    ({"mask": ("m.png", flat(0))}, "nothing is to be filled"),
    ({"mask": ("m.png", flat(255))}, "covers the whole photo"),
    ({"grow": "x"}, "grow=x: must be a number from -32 to 32"), ({"grow": "33"}, "from -32 to 32"),
    ({"grow": "nan"}, "from -32 to 32"), ({"grow": "-33"}, "from -32 to 32"),
    ({"grow": "-4"}, "nothing is left of the hole when it shrinks by 4 pixels"),
    ({"model": "none"}, "model=none: must be one of negative, other"),
    ({"mask_means": "white"}, "mask_means=white: must be one of hole, valid"), ({"transparent": "2"}, "one of 0, 1"),
    ({"grow": ("a", b"1")}, "grow: must not be a file"),
    ({"layer": ("l.png", encoded(noise(20, 30)))}, "the filled pixels: belong to another photo"),
    ({"layer": ("l.png", b"x")}, "the filled pixels: "), ({"layer_at": "1"}, "layer_at=1: must be 2 numbers"),
    ({"strokes": ("s.png", encoded(noise(20, 30)))}, "the strokes: belong to another photo"),
])  # fmt: skip
def test_an_unusable_request_is_one_line(address, fields, changes, message):
    given = {name: value for name, value in (fields | changes).items() if value is not None}
    status, _, body = post(address, "/api/repair", **given)
    assert status == 400 and message in body.decode() and "\n" not in body.decode()


def test_the_names_of_files_are_only_names(address, fields):
    for name in ("../../etc/passwd.png", "C:\\\\a\\\\passwd.png", "passwd.png\0"):
        _, headers, _ = post(address, "/api/repair", **fields | {"image": (name, fields["image"][1])})
        assert headers is not None and headers["Content-Disposition"].endswith("''passwd_filled.png")


def test_a_file_that_is_too_large_is_refused(address, fields, monkeypatch):
    monkeypatch.setattr(routes, "MAX_UPLOAD", 100)
    status, _, body = post(address, "/api/repair", **fields)
    assert status == 400 and b"image: more than 0 MiB" in body


def test_an_error_of_the_program_is_reported_in_its_output(address, fields, models, monkeypatch, caplog):
    monkeypatch.setattr(type(models["negative"]), "__call__", lambda *_: 1 / 0)
    assert post(address, "/api/repair", **fields)[::2] == (500, b"an error in the server, which its output describes")
    assert "ZeroDivisionError" in caplog.text


def test_the_page_restricts_connections(address):
    status, headers, body = request(address, "/")
    assert status == 200 and b"Repair a photo" in body
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "http" not in policy and "*" not in policy and "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_no_file_of_the_host_can_be_read(address, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_bytes(SECRET)
    up = "../" * 12
    for path in ("/etc/passwd", str(secret), f"page.css/{up}{secret}", "..", "../gate.py", f"{up}etc/passwd",
                 "a" * 5000, f"file://{secret}", "http://127.0.0.1:1/", "//etc/passwd", "page.css\0", ""):
        for spelling in (quote(path), quote(path, safe=""), quote(quote(path, safe=""), safe="")):
            for start in ("/static/", "/static", "/", "/api/", "/file=", "/static/../", "//"):
                if start + spelling != "/":
                    assert request(address, start + spelling)[0] == 404, start + spelling
    assert request(address, "/static/page.css")[0] == 200


def test_only_the_methods_of_a_path_are_accepted(address):
    assert request(address, "/api/repair")[0] == request(address, "/", "POST", "a")[0] == 405
    assert request(address, "/", "DELETE")[0] == 405
    assert request(address, "/api/repair", "POST", "{}", Content_Type="application/json")[0] == 400
    assert request(address, "/api/repair", "POST", "x", Content_Type="multipart/form-data; boundary=b")[0] == 400


def test_requests_are_bounded(address):
    assert request(address, "/api/repair", "POST", None, Content_Length=str(151 * 2**20))[0] == 413
    assert request(address, "/api/repair", "POST", iter([b"a"]))[0] == 411
    assert request(address, "/api/repair", "POST", None, Content_Length="\u00b2".encode("latin-1"))[0] in (400, 411)


def test_pages_and_names_of_other_hosts_are_rejected(address, fields):
    place = urlsplit(address)
    for host in ("evil.example", f"evil.example:{place.port}", "127.0.0.1.evil.example", " "):
        assert request(address, "/", host=host)[0] in (400, 403)
    assert request(address, "/", host=f"localhost:{place.port}")[0] == 200
    for origin in ("http://evil.example", "null", "http://["):
        assert post(address, "/api/repair", {"Origin": origin}, **fields)[0] == 403
    assert post(address, "/api/repair", {"Origin": f"http://{place.netloc}"}, **fields)[0] == 200


def test_the_requests_in_flight_are_bounded(monkeypatch):
    monkeypatch.setattr(gate, "MAX_IN_FLIGHT", 100)
    release, statuses = asyncio.Event(), []

    async def app(scope, receive, send):
        await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        statuses.extend([message["status"]] if "status" in message else [])

    async def run():
        filtered = gate.Gate(app, None)
        scope = {"type": "http", "method": "POST", "path": "/api/fill", "headers": [(b"content-length", b"40")]}
        first = [asyncio.create_task(filtered(scope, None, send)) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert statuses == [503]
        release.set()
        await asyncio.gather(*first)
        await filtered(scope, None, send)
        assert statuses == [503, 200, 200, 200] and filtered.in_flight == 0

    asyncio.run(run())


def test_work_is_done_in_order_one_at_a_time_and_the_queue_is_bounded(monkeypatch):
    monkeypatch.setattr(lane, "MAX_WAITING", 3)
    done, allowed = [], threading.Event()

    def work(name):
        assert allowed.wait(10)
        done.append(name)
        return name

    async def run():
        queue = lane.Lane()
        tasks = [asyncio.create_task(queue.run(name, lambda name=name: work(name))) for name in "abc"]
        await asyncio.sleep(0.01)
        assert [queue.before(name) for name in "abcd"] == [0, 1, 2, None]
        with pytest.raises(lane.Busy):
            await queue.run("d", lambda: work("d"))
        tasks[1].cancel()
        await asyncio.sleep(0.01)
        assert queue.before("c") == 1
        allowed.set()
        assert await tasks[0] == "a" and await tasks[2] == "c"
        assert done == ["a", "c"]

    asyncio.run(run())


def test_a_user_who_leaves_is_removed_from_the_queue(address, fields, models):
    negative = models["negative"]
    negative.allowed.clear()
    calls = negative.calls
    first = threading.Thread(target=post, args=(address, "/api/repair"), kwargs=fields)
    first.start()
    wait_until(lambda: negative.calls == calls + 1)
    connection = http.client.HTTPConnection(urlsplit(address).netloc)
    connection.request("POST", "/api/repair", form(**fields, ticket="leaves"),
                       {"Content-Type": "multipart/form-data; boundary=b"})
    wait_until(lambda: request(address, "/api/queue?ticket=leaves")[2] == b'{"before":1}')
    connection.close()
    wait_until(lambda: request(address, "/api/queue?ticket=leaves")[2] == b'{"before":null}')
    negative.allowed.set()
    first.join()
    assert negative.calls == calls + 1


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_server_for_other_machines_accepts_any_host_name(models):
    with server.running_server(models, "0.0.0.0", 0) as address:
        assert request(address, "/", host="photos.example")[0] == 200
        assert b"the machine that runs this page" in request(address, "/api/info")[2]
