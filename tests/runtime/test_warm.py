"""What the pool does once so that no child has to."""

import sys
from types import SimpleNamespace

import pytest

from itkwsgi.runtime import warm as module
from tests.support.forked import in_child


@pytest.fixture
def log(monkeypatch):
    """What is said in the site's log."""
    said = []
    monkeypatch.setattr(module, "log", said.append)
    monkeypatch.setattr(module, "log_error", lambda what, error, error_id: said.append(f"{what}: {error}"))
    return said


class App:
    """An app that keeps what it was asked, and answers with a status by path."""

    def __init__(self, statuses=None):
        self.statuses = statuses or {}
        self.asked = []
        self.closed = 0

    def __call__(self, environ, start_response):
        self.asked.append(environ)
        start_response(self.statuses.get(environ["PATH_INFO"], "200 OK"), [])(b"written")
        return self

    def __iter__(self):
        return iter([b"a", b"b"])

    def close(self):
        self.closed += 1


# --- requests


def test_a_warm_up_request_is_a_plain_get_of_the_site(log):
    app = App()
    module.warm_up(app, ["/shop?page=2"], "a.example")
    [environ] = app.asked
    wanted = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/shop",
        "QUERY_STRING": "page=2",
        "HTTP_HOST": "a.example",
        "HTTP_USER_AGENT": "itkwsgi-warmup",
    }
    assert {name: environ[name] for name in wanted} == wanted
    assert environ["wsgi.input"].read() == b""
    assert (app.closed, log) == (1, [])


def test_each_path_once_in_its_order(log):
    app = App()
    module.warm_up(app, ["/b", "/a"], "a.example")
    assert [environ["PATH_INFO"] for environ in app.asked] == ["/b", "/a"]


def test_answers_of_5xx_are_said_and_others_are_not(log):
    app = App({"/down": "503 Service Unavailable", "/gone": "404 Not Found"})
    module.warm_up(app, ["/down", "/gone", "/"], "a.example")
    assert log == ["warm-up request /down was answered 503 Service Unavailable"]


def test_what_fails_is_said_and_the_next_goes_on(log):
    def app(environ, start_response):
        asked.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/silent":
            return []
        raise RuntimeError("on purpose")

    asked = []
    module.warm_up(app, ["/a", "/silent", "/b"], "a.example")
    assert asked == ["/a", "/silent", "/b"]
    assert [line.partition(" failed")[0] for line in log] == [f"warm-up request {path}" for path in asked]


def test_an_iterable_that_fails_is_closed(log):
    class Body(App):
        def __iter__(self):
            raise RuntimeError("on purpose")

    app = Body()
    module.warm_up(app, ["/"], "a.example")
    assert (app.closed, log) == (1, ["warm-up request / failed: on purpose"])


# --- frameworks


def test_a_framework_that_cannot_be_warmed_does_not_stop_the_site(log, monkeypatch):
    def fail(app):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(module, "warm_flask", fail)
    fail.__name__ = "warm_flask"
    app = App()
    module.warm_up(app, ["/"], "a.example")
    assert log == ["warming by warm_flask failed: on purpose"]
    assert len(app.asked) == 1


def test_flasks_routes_and_templates_are_made_and_no_view_runs():
    def warm():
        import flask

        app = flask.Flask("site")
        app.route("/")(lambda: 1 / 0)
        before = app.url_map._remap, "jinja_env" in vars(app)
        module.warm_flask(app)
        return before, (app.url_map._remap, "jinja_env" in vars(app))

    assert in_child(warm) == ((True, False), (False, True))


@pytest.mark.parametrize("loaded", [None, SimpleNamespace(Flask=type("Flask", (), {}))])
def test_an_app_that_is_not_flasks_is_left_alone(monkeypatch, loaded):
    if loaded is None:
        monkeypatch.delitem(sys.modules, "flask", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "flask", loaded)
    module.warm_flask(object())


def forget_frameworks():
    """In a child: as if no other test of this process had imported any."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("django", "flask")]:
        del sys.modules[name]


def django_site(**settings):
    """A Django of these settings, as a site's wsgi.py leaves it."""
    import types

    forget_frameworks()

    import django
    from django.conf import settings as configured
    from django.core import wsgi
    from django.http import HttpResponse
    from django.urls import path

    urls = types.ModuleType("site_urls")
    urls.urlpatterns = [path("", lambda request: HttpResponse(str(1 / 0)))]
    sys.modules["site_urls"] = urls
    configured.configure(ROOT_URLCONF="site_urls", ALLOWED_HOSTS=["*"], **settings)
    app = wsgi.get_wsgi_application()
    assert django.VERSION
    return app


def test_djangos_routes_are_compiled_and_no_view_runs():
    def warm():
        app = django_site()
        from django.urls import get_resolver

        before = get_resolver()._populated
        module.warm_django(app)
        return before, get_resolver()._populated

    assert in_child(warm) == (False, True)


def test_a_django_that_is_loaded_and_not_configured_is_left_alone():
    def warm():
        forget_frameworks()
        import django.core.handlers.wsgi  # noqa: F401
        from django.conf import settings

        module.warm_django(object())
        return settings.configured

    assert in_child(warm) is False


def test_without_django_none_is_loaded():
    def warm():
        forget_frameworks()
        module.warm_up(App(), ["/"], "a.example")
        return [name for name in sys.modules if name.split(".")[0] in ("django", "flask")]

    assert in_child(warm) == []


def test_no_child_inherits_a_database_connection():
    def warm():
        app = django_site(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
        closed = []
        from django.db import connections

        connections.close_all = lambda: closed.append(True)
        module.warm_up(app, [], "a.example")
        return closed

    assert in_child(warm) == [True]
