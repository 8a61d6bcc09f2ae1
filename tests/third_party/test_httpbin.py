"""httpbin: each kind of request and of answer, asked by http.client and by curl."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from curl import Curl
from daemon import Answer, Daemon

HOST = "httpbin.localhost"
FIVE_MEGABYTES = 5 * 1024 * 1024


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def of(answer: Answer) -> Any:
    return json.loads(answer.body)


# --- One request, one answer.  Method, path, header fields, status, and what must be true of the answer.

Check = Callable[[Answer], object]
TABLE: list[tuple[str, str, dict[str, str], int, Check]] = [
    ("GET", "/get?a=1&a=2&b=%C3%BC", {}, 200, lambda a: of(a)["args"] == {"a": ["1", "2"], "b": "ü"}),
    ("GET", "/anything/a%20b/c%2Fd?", {}, 200, lambda a: of(a)["url"].endswith("/anything/a%20b/c/d")),
    ("HEAD", "/get", {}, 200, lambda a: a.body == b"" and int(a.headers["content-length"]) > 100),
    ("OPTIONS", "/get", {}, 200, lambda a: set(a.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}),
    ("POST", "/get", {}, 405, lambda a: "GET" in a.headers["allow"]),
    ("TRACE", "/anything", {}, 405, lambda a: "PATCH" in a.headers["allow"]),
    ("GET", "/nowhere", {}, 404, lambda a: b"Not Found" in a.body),
    ("GET", "/headers", {"X-Twice": "a, b"}, 200, lambda a: of(a)["headers"]["X-Twice"] == "a, b"),
    ("GET", "/headers", {"Accept": "text/x"}, 200, lambda a: of(a)["headers"]["Accept"] == "text/x"),
    ("GET", "/user-agent", {"User-Agent": "me/1"}, 200, lambda a: of(a) == {"user-agent": "me/1"}),
    ("GET", "/ip", {}, 200, lambda a: of(a) == {"origin": "127.0.0.1"}),
    ("GET", "/response-headers?X-One=b%20c", {}, 200, lambda a: a.headers["x-one"] == of(a)["X-One"] == "b c"),
    ("GET", "/redirect-to?url=/get&status_code=308", {}, 308, lambda a: a.headers["location"] == "/get"),
    ("GET", "/stream/20", {}, 200, lambda a: [json.loads(line)["id"] for line in a.text.splitlines()] == [*range(20)]),
    ("GET", "/stream/1", {}, 200, lambda a: ("content-length" in a.headers) != ("transfer-encoding" in a.headers)),
    ("GET", "/gzip", {}, 200, lambda a: json.loads(gzip.decompress(a.body))["gzipped"]),
    ("GET", "/deflate", {}, 200, lambda a: json.loads(zlib.decompress(a.body))["deflated"]),
    ("GET", "/cookies", {"Cookie": "a=1; b=2"}, 200, lambda a: of(a)["cookies"] == {"a": "1", "b": "2"}),
    ("GET", "/basic-auth/me/secret", {}, 401, lambda a: a.headers["www-authenticate"].startswith("Basic realm=")),
    ("GET", "/basic-auth/me/secret", basic("me", "guess"), 401, lambda a: True),
    ("GET", "/basic-auth/me/secret", basic("me", "secret"), 200, lambda a: of(a)["user"] == "me"),
    ("GET", "/bearer", {"Authorization": "Bearer x.y"}, 200, lambda a: of(a)["token"] == "x.y"),
    ("GET", "/bytes/102400?seed=7", {}, 200, lambda a: len(a.body) == int(a.headers["content-length"]) == 102400),
    ("GET", "/stream-bytes/102400?chunk_size=1000", {}, 200, lambda a: len(a.body) == 102400),
    ("GET", "/range/26", {"Range": "bytes=10-13"}, 206, lambda a: a.body == b"klmn"),
    ("GET", "/range/26", {"Range": "bytes=0-3"}, 206, lambda a: a.headers["content-range"] == "bytes 0-3/26"),
    ("GET", "/range/26", {"Range": "bytes=-3"}, 206, lambda a: a.body == b"xyz"),
    ("GET", "/range/26", {"Range": "bytes=30-"}, 416, lambda a: a.headers["content-range"] == "bytes */26"),
    ("GET", "/range/26", {}, 200, lambda a: a.body == b"abcdefghijklmnopqrstuvwxyz"),
    ("GET", "/etag/e1", {"If-None-Match": '"e1"'}, 304, lambda a: a.body == b""),
    ("GET", "/etag/e1", {"If-Match": '"e2"'}, 412, lambda a: True),
    ("GET", "/cache", {"If-Modified-Since": "Sat, 01 Jan 2022 00:00:00 GMT"}, 304, lambda a: a.body == b""),
    ("GET", "/encoding/utf8", {}, 200, lambda a: "∮ E⋅da = Q" in a.text),
    ("GET", "/image/png", {}, 200, lambda a: (a.headers["content-type"], a.body[:4]) == ("image/png", b"\x89PNG")),
    ("GET", "/base64/SGVsbG8=", {}, 200, lambda a: a.body == b"Hello"),
    ("GET", "/xml", {}, 200, lambda a: a.headers["content-type"] == "application/xml"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "check"), TABLE, ids=[f"{row[0]}-{row[1]}-{row[3]}" for row in TABLE]
)
def test_answers(server: Daemon, method: str, path: str, headers: dict[str, str], status: int, check: Check) -> None:
    answer = server.ask(method, HOST, path, headers=headers)
    assert answer.status == status, answer.body
    assert check(answer), (answer.headers, answer.body[:500])


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 403, 404, 418, 429, 500, 502, 503])
def test_a_status_is_passed_on(server: Daemon, status: int) -> None:
    answer = server.ask("GET", HOST, f"/status/{status}")
    assert answer.status == status
    assert (b"teapot" in answer.body) == (status == 418)
    assert ("content-length" in answer.headers) == (status not in (204, 304))


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_method_is_passed_on(server: Daemon, method: str) -> None:
    answer = server.ask(method, HOST, "/anything", body=None if method == "GET" else b"a body")
    assert answer.status == 200
    assert (of(answer)["method"], of(answer)["data"]) == (method, "" if method == "GET" else "a body")


# --- Bodies


def test_a_form(server: Daemon) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = server.ask("POST", HOST, "/post", body=b"a=1&b=%C3%BC+x&a=2", headers=headers)
    assert of(answer)["form"] == {"a": ["1", "2"], "b": "ü x"}


def test_json(server: Daemon) -> None:
    said = {"list": [1, 2.5, None], "text": "ü"}
    headers = {"Content-Type": "application/json"}
    assert of(server.ask("POST", HOST, "/post", body=json.dumps(said).encode(), headers=headers))["json"] == said


def test_files_and_fields_in_one_form(curl: Curl, tmp_path: Path) -> None:
    data = os.urandom(100_000)
    (tmp_path / "data").write_bytes(data)
    (tmp_path / "text").write_text("süß\n")
    got = curl("/post", "-F", "who=me", "-F", f"one=@{tmp_path}/data", "-F", f"two=@{tmp_path}/text;type=text/plain")
    said = json.loads(got.body)
    assert (got.status, said["form"], said["files"]["two"]) == (200, {"who": "me"}, "süß\n")
    assert base64.b64decode(said["files"]["one"].partition("base64,")[2]) == data


@pytest.mark.parametrize("options", [(), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect:"), ("--http1.0",)])
def test_five_megabytes(curl: Curl, tmp_path: Path, options: tuple[str, ...]) -> None:
    text = (hashlib.sha256(repr(options).encode()).hexdigest() * (FIVE_MEGABYTES // 64)).encode()
    (tmp_path / "body").write_bytes(text)
    got = curl("/put", "--upload-file", str(tmp_path / "body"), *options)
    said = json.loads(got.body)
    assert got.status == 200
    assert said["data"].encode() == text
    assert said["headers"]["Content-Length"] == str(FIVE_MEGABYTES)
    assert "Transfer-Encoding" not in said["headers"]


def test_a_chunked_form_of_unknown_length(server: Daemon) -> None:
    connection = server.connect()
    try:
        headers = {"Host": HOST, "Transfer-Encoding": "chunked", "Content-Type": "application/x-www-form-urlencoded"}
        parts = iter([b"a=1", b"&", b"b=" + b"x" * 1000])
        connection.request("POST", "/post", body=parts, headers=headers, encode_chunked=True)
        said = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    assert said["form"] == {"a": "1", "b": "x" * 1000}


# --- More than one request


@pytest.mark.parametrize("kind", ["redirect", "relative-redirect", "absolute-redirect"])
def test_curl_follows_redirects(curl: Curl, kind: str) -> None:
    got = curl(f"/{kind}/3", "--location")
    assert (got.status, got.redirects) == (200, 3)
    assert json.loads(got.body)["url"].endswith("/get")


def test_curl_posts_again_where_it_is_sent(curl: Curl) -> None:
    got = curl("/redirect-to?url=/post&status_code=307", "--location", "--data", "a=1")
    assert (got.status, got.redirects, json.loads(got.body)["form"]) == (200, 1, {"a": "1"})


def test_curl_keeps_cookies(curl: Curl, tmp_path: Path) -> None:
    jar = ("--location", "--cookie-jar", f"{tmp_path}/jar", "--cookie", f"{tmp_path}/jar")
    assert json.loads(curl("/cookies/set?a=1&b=2", *jar).body) == {"cookies": {"a": "1", "b": "2"}}
    assert json.loads(curl("/cookies/delete?a", *jar).body) == {"cookies": {"b": "2"}}


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_curl_answers_a_digest_challenge(curl: Curl, tmp_path: Path, algorithm: str) -> None:
    path = f"/digest-auth/auth/me/secret/{algorithm}"
    jar = ("--cookie-jar", f"{tmp_path}/jar", "--cookie", f"{tmp_path}/jar")
    assert curl(path, "--digest", "--user", "me:secret", *jar).status == 200
    assert curl(path, "--digest", "--user", "me:guess", *jar).status == 401


def test_one_connection_serves_them_all(server: Daemon) -> None:
    connection = server.connect()
    try:
        for path in ("/get", "/stream/3", "/bytes/100", "/status/204", "/gzip", "/get"):
            connection.request("GET", path, headers={"Host": HOST})
            response = connection.getresponse()
            response.read()
            assert response.status in (200, 204)
            assert connection.sock is not None, f"closed after {path}"
    finally:
        connection.close()


def test_chance_differs_from_process_to_process(server: Daemon) -> None:
    """Each request has a fork of the same pool; none may inherit its random numbers."""
    for path in ("/bytes/16", "/uuid"):
        assert len({server.ask("GET", HOST, path).body for _ in range(5)}) == 5


# --- Time


def test_what_drips_arrives_as_it_drips(server: Daemon) -> None:
    connection = server.connect()
    try:
        connection.request("GET", "/drip?numbytes=5&duration=1", headers={"Host": HOST})
        response = connection.getresponse()
        first = (response.read(1), time.monotonic())
        rest = (response.read(), time.monotonic())
    finally:
        connection.close()
    assert first[0] + rest[0] == b"*****"
    assert rest[1] - first[1] > 0.4


def test_those_who_wait_wait_together(server: Daemon) -> None:
    answers: list[Answer] = []
    visitors = [threading.Thread(target=lambda: answers.append(server.get(HOST, "/delay/1"))) for _ in range(6)]
    begun = time.monotonic()
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert [answer.status for answer in answers] == [200] * 6
    assert 1 <= time.monotonic() - begun < 5
