"""Real peers: nginx's fastcgi_pass and cgi-fcgi speak to a pool; curl speaks HTTP; a venv of a site's own."""

import json
import os
import shutil
import subprocess

import pytest
from daemon import free_port, wait_until

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


@pytest.fixture
def external(daemon, site, tmp_path):
    """A site with a pool_socket."""
    path = tmp_path / "a.sock"
    one = daemon(site(pool_socket={"path": str(path), "mode": "0600"}, idle_timeout="1s"))
    return one, path


def cgi_fcgi(path, **params):
    environment = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/hello",
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        **params,
    }
    done = subprocess.run(
        ["cgi-fcgi", "-bind", "-connect", str(path)], env=environment, capture_output=True, timeout=20, check=True
    )
    return done.stdout


def test_cgi_fcgi(external):
    _, path = external
    answer = cgi_fcgi(path)
    assert answer.startswith(b"Status: 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello\n")


def test_the_socket_wakes_a_sleeping_pool_and_the_front_shares_it(external):
    one, path = external
    assert not one.named("a.test")
    assert cgi_fcgi(path).endswith(b"hello\n")
    assert one.get("a.test").text == "hello\n"
    wait_until(lambda: len(one.named("pool a.test")) == 1, 5, "one pool")
    wait_until(lambda: not one.named("a.test"), 10, "sleep")
    for _ in range(3):
        assert cgi_fcgi(path).endswith(b"hello\n")


def test_no_parameter_is_believed(external):
    _, path = external
    answer = cgi_fcgi(path, SCRIPT_NAME="/facts", PHP_ADMIN_VALUE="open_basedir=/", HTTP_PROXY="http://evil")
    environ = json.loads(answer.partition(b"\r\n\r\n")[2])["environ"]
    assert "PHP_ADMIN_VALUE" not in environ
    assert "HTTP_PROXY" not in environ


def test_the_socket_is_gone_after_a_stop(external):
    one, path = external
    one.stop()
    assert not os.path.lexists(path)


@pytest.fixture
def nginx(external, tmp_path):
    _, path = external
    port = free_port()
    place = tmp_path / "nginx"
    place.mkdir()
    (place / "nginx.conf").write_text(
        f"""
daemon off; pid {place}/pid; error_log {place}/error.log; events {{}}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {place}/body; fastcgi_temp_path {place}/fastcgi;
  proxy_temp_path {place}/proxy; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ include /etc/nginx/fastcgi_params; fastcgi_pass unix:{path}; }} }}
}}"""
    )
    process = subprocess.Popen([NGINX, "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")])
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], capture_output=True, check=True)
    return done.stdout


def test_nginx(nginx):
    retry = ("--retry", "20", "--retry-connrefused", "--retry-delay", "1")
    assert curl(*retry, f"{nginx}/hello") == b"hello\n"
    environ = json.loads(curl(f"{nginx}/facts?a=b"))["environ"]
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("", "/facts", "a=b")
    body = os.urandom(300_000)  # not echoed: nginx stops sending the body once an answer has begun
    done = subprocess.run(
        ["curl", "-sS", "--data-binary", "@-", f"{nginx}/count"],
        input=body,
        capture_output=True,
        check=True,
        timeout=20,
    )
    assert done.stdout == b"300000 300000\n"
    assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{nginx}/raise") == b"500"
    for _ in range(30):
        assert curl(f"{nginx}/hello") == b"hello\n"


def test_curl_and_http_1_0_and_a_form(probe):
    base = f"http://127.0.0.1:{probe.port}"
    host = ("-H", "Host: a.test")
    assert curl(*host, f"{base}/hello") == b"hello\n"
    assert curl("-0", *host, f"{base}/hello") == b"hello\n"
    assert curl("--http2", *host, "-d", "a=b", f"{base}/count") == b"3 3\n"  # with Upgrade: h2c, which is ignored
    assert b"HTTP/1.1 200" in curl("-I", *host, f"{base}/hello")


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    """A venv of the site's own, with a package nobody else has."""
    place = tmp_path_factory.mktemp("venv") / "own"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(place)], check=True, timeout=60)
    packages = next(place.glob("lib/python3*/site-packages"))
    (packages / "only_here.py").write_text("WHO = 'the venv'\n")
    return place


def test_a_venv_of_its_own(daemon, sites, venv):
    (sites / "owner.py").write_text("import only_here\nfrom probe import application\n")
    one = daemon(f"[[vhost]]\nname = 'a.test'\nroot = {str(sites)!r}\napp = 'owner.py'\nvenv = {str(venv)!r}\n")
    found = json.loads(one.get("a.test", "/facts").body)
    assert found["executable"] == f"{venv}/bin/python"
    assert "only_here" in found["modules"]
    assert not {"werkzeug", "uvloop", "prctl"} & set(found["modules"])
    assert found["imported_by"] == found["pool"]
    wait_until(lambda: one.named("itkwsgi: pool a.test"), 5, "its title")


def test_an_interpreter_of_its_own(daemon, site):
    one = daemon(site(python="/usr/bin/python3"))
    found = json.loads(one.get("a.test", "/facts").body)
    assert found["executable"] == "/usr/bin/python3"
    assert one.get("a.test").status == 200


def test_an_environment_preloads_for_all_its_sites(daemon, sites, venv):
    one = daemon(
        f"[environment.shared]\nvenv = {str(venv)!r}\npreload = ['only_here', 'not_there']\n"
        f"[[vhost]]\nname = 'a.test'\nroot = {str(sites)!r}\napp = 'probe.py'\nenvironment = 'shared'\n"
        f"[[vhost]]\nname = 'none.test'\nroot = {str(sites)!r}\napp = 'probe.py'\n"
        "environment = 'shared'\npreload = 'none'\n"
    )
    assert "only_here" in json.loads(one.get("a.test", "/facts").body)["modules"]
    found = json.loads(one.get("none.test", "/facts").body)
    assert "only_here" not in found["modules"]
    assert found["executable"] == f"{venv}/bin/python"
    wait_until(lambda: "preload of not_there failed" in one.error_log(), what="the note")
