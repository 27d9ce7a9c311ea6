"""The server answers requests for the page and for nothing else on the machine."""

import contextlib
import http.client
import json
import os
from urllib.parse import quote

import pytest

SECRET = b"private content"


def request(server, path, method="GET", body=None, host=None, **headers):
    """Return status, headers and body of the response to a request that is sent unchanged."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    headers = {"Host": host or f"127.0.0.1:{server.port}"} | {k.replace("_", "-"): v for k, v in headers.items()}
    with contextlib.closing(connection):
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def upload(server, name, content):
    body = (b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n' % name.encode()
            + content + b"\r\n--b--\r\n")
    return request(server, "/gradio_api/upload", "POST", body, Content_Type="multipart/form-data; boundary=b")


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "secret.txt"  # in the server's working directory
    path.write_bytes(SECRET)
    return path


def test_the_page_names_the_checkpoint_and_restricts_connections(served):
    status, headers, body = request(served, "/")
    assert status == 200 and b"mai" in body and b"trained for 7 steps" in body
    assert b"stay on this machine" in body
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy


def test_no_file_of_the_host_can_be_read(served, secret):
    link = served.folder / "link.png"
    link.symlink_to(secret)
    _, _, names = upload(served, "a.txt", b"uploaded")
    (uploaded,) = json.loads(names)
    assert request(served, f"/gradio_api/file={uploaded}")[::2] == (200, b"uploaded")
    up = "../" * 12
    paths = ["/etc/passwd", secret, secret.name, link, served.folder, f"{uploaded}/{up}{secret}", f"{uploaded}\0.png",
              f"{served.folder}/..", f"{served.folder}/{up}etc/passwd", f"file://{secret}", "http://127.0.0.1:1/",
              "https://example.org/", next(served.checkpoint.rglob("*.json"), secret), "/proc/self/environ", "a" * 5000]
    for path in map(str, paths):
        for spelling in (path, quote(path), quote(path, safe=""), quote(quote(path, safe=""), safe="")):
            if "\0" in spelling:
                continue
            for start in ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/gradio_api/proxy=", "/static/",
                          "/assets/", "/assets/../", "/"):
                status, _, body = request(served, start + spelling)
                assert status in (403, 404), (start + spelling, status)
                assert SECRET not in body and b"root:" not in body
    link.unlink()
    os.unlink(uploaded)


@pytest.mark.parametrize("path", [
    "/etc/passwd", "https://example.org/a.png", "http://127.0.0.1/", {"a": 1}, "../demo.py", 3,
])
def test_no_event_can_name_a_file_of_the_host(served, path):
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}}]
    for fn_index in range(4):
        body = json.dumps({"data": data, "fn_index": fn_index, "session_hash": "x"})
        for spelling in (body, body.replace("p", "\\u0070"), body.replace("}", ', "path": "a.png"}')):
            status, _, _ = request(served, "/gradio_api/queue/join", "POST", spelling, Content_Type="application/json")
            assert status == 403


@pytest.mark.parametrize("path", [
    "/gradio_api/info", "/gradio_api/openapi.json", "/openapi.json", "/docs", "/redoc", "/monitoring", "/login",
    "/gradio_api/runs", "/gradio_api/run/predict", "/gradio_api/call/open", "/gradio_api/component_server",
    "/gradio_api/deep_link", "/gradio_api/custom_component/a/client/b/c", "/gradio_api/token", "/..", "//etc/passwd",
])
def test_no_other_path_is_served(served, path):
    assert request(served, path)[0] == 404
    assert request(served, path, "POST", "{}", Content_Type="application/json")[0] == 404


def test_requests_are_bounded(served):
    multipart = {"Content_Type": "multipart/form-data; boundary=b"}
    assert request(served, "/gradio_api/upload", "POST", None, Content_Length=str(51 * 2**20), **multipart)[0] == 413
    assert request(served, "/gradio_api/upload", "POST", iter([b"a"]), **multipart)[0] == 411
    assert request(served, "/gradio_api/queue/join", "POST", None, Content_Length=str(9 * 2**20))[0] == 413
    assert request(served, "/gradio_api/queue/join", "POST", "[" * 100_000)[0] == 400
    assert request(served, "/static/" + "a" * 300)[0] == request(served, "/static/" + "a/" * 600)[0] == 404


def test_another_host_name_is_rejected(served):
    for host in ("evil.example", f"evil.example:{served.port}", "127.0.0.1.evil.example", ""):
        assert request(served, "/", host=host or " ")[0] in (400, 403)
    assert request(served, "/", host=f"localhost:{served.port}")[0] == 200
