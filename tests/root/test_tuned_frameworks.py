"""A real Flask site and a real Django site, tuned by directory in itk.toml, in .itk.toml, and from their code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon

TOP = Path(__file__).parents[2]
PACKAGES = TOP / "var/sites"
FLASK, DJANGO = 50151, 50152
MEGA = 2**20

FLASK_APP = """
import resource, time
from flask import Flask, jsonify
from itkwsgi import SettingLocked, settings

app = Flask(__name__)

@app.get("/", defaults={"path": ""})
@app.get("/<path:path>")
def facts(path):
    tried = None
    if path.endswith("/tune"):
        settings.set("timezone", "NPT-5:45")
        try:
            settings.set("memory_limit", "1G")
        except SettingLocked as error:
            tried = str(error)
    return jsonify(
        memory=resource.getrlimit(resource.RLIMIT_DATA), files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        zone=time.tzname[0], tried=tried, origin=settings.explain("timezone").origin)
"""
DJANGO_APP = """
import resource, time
from django.conf import settings as django
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import re_path
from itkwsgi import SettingLocked, settings

django.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x", TIME_ZONE=None, DEBUG=False)

def facts(request):
    tried = None
    if request.path.endswith("/tune"):
        settings.set("timezone", "NPT-5:45")
        try:
            settings.set("memory_limit", "1G")
        except SettingLocked as error:
            tried = str(error)
    return JsonResponse(dict(
        memory=resource.getrlimit(resource.RLIMIT_DATA), files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        zone=time.tzname[0], tried=tried, origin=settings.explain("timezone").origin))

urlpatterns = [re_path("", facts)]
app = get_wsgi_application()
"""
SITES = {"flask": (FLASK, FLASK_APP), "django": (DJANGO, DJANGO_APP)}


@pytest.fixture(scope="module")
def daemon(place: Path) -> Iterator[Daemon]:
    if not PACKAGES.exists():
        pytest.skip("var/sites is made by script/setup")
    text = f'[environment.sites]\nvenv = "{PACKAGES}"\npreload = ["flask", "django"]\n'
    for name, (uid, source) in SITES.items():
        root = place / f"tuned-{name}"
        for directory in (root, root / "public", root / "public/reports", root / "public/own"):
            directory.mkdir()
            os.chown(directory, uid, uid)
        (root / "tuned_app.py").write_text(source)
        (root / "public/own/.itk.toml").write_text("[value]\ntimezone = 'JST-9'\nmemory_limit = '900M'\n")
        text += f"""
[[vhost]]
name = "{name}.test"
user = {uid}
root = "{root}"
public = "{root}/public"
app = "tuned_app:app"
environment = "sites"
[vhost.admin_value]
memory_limit = "300M"
[[vhost.directory]]
path = "{root}/public/reports"
value = {{ max_open_files = 100 }}
admin_value = {{ memory_limit = "200M" }}
"""
    with Daemon(place / "tuned-frameworks", text) as one:
        yield one


@pytest.mark.parametrize("name", SITES)
@pytest.mark.parametrize(
    ("path", "memory", "files", "zone"),
    [
        ("/", 300, 1024, "UTC"),
        ("/reports/x", 200, 100, "UTC"),
        ("/own/x", 300, 1024, "JST"),
        ("/own/tune", 300, 1024, "NPT"),
        ("/reports/tune", 200, 100, "NPT"),
    ],
)
def test_each_directory_has_its_own(daemon: Daemon, name: str, path: str, memory: int, files: int, zone: str) -> None:
    for _ in range(2):
        answer = daemon.get(f"{name}.test", path, timeout=60)
        assert answer.status == 200, answer.text + daemon.error_log()
        found = json.loads(answer.body)
        assert found["memory"] == [memory * MEGA, memory * MEGA]
        assert (found["files"], found["zone"]) == (files, zone)
        if path.endswith("/tune"):
            assert "memory_limit is fixed at" in found["tried"] and found["origin"] == "set by code"
    explained = explain(daemon, f"http://{name}.test{path}")
    assert explained["memory_limit"]["value"] == memory * MEGA and explained["max_open_files"]["value"] == files


def explain(daemon: Daemon, url: str) -> Any:
    command = [sys.executable, "-m", "itkwsgi", "explain", str(daemon.config), url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["settings"]
