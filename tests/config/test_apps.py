"""Module or file?"""

from __future__ import annotations

import pytest

from itkwsgi.config import apps
from itkwsgi.ini.values import Wrong


def there(*paths: str):
    return lambda path: path in paths


@pytest.mark.parametrize(
    "app",
    [
        "blog",
        "blog.wsgi:application",
        "blog:a.b",
        "x.py",
        "x.wsgi",
        "a-b.wsgi:app",
        "sub/x.txt:app",
        "/srv/x.py",
        "my app.py",
    ],
)
def test_forms(app: str) -> None:
    assert apps.parse_app(app) == app


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("a-b", "is neither a module nor a .py or .wsgi file"),
        ("x.php", None),
        ("", "it is empty"),
        (":app", "is neither a module nor a .py or .wsgi file"),
        ("x.py:", "is no name of a callable"),
        ("x:create()", '"create()" is no name of a callable'),
        ("x:y:z", '"y:z" is no name of a callable'),
        ("~/x.py", "~ is not expanded here"),
        (1, "1 is not text"),
    ],
)
def test_no_forms(app: object, message: str | None) -> None:
    if message is None:  # x.php could be a module named php in a package named x
        assert apps.parse_app(app) == app
        return
    with pytest.raises(Wrong) as caught:
        apps.parse_app(app)
    assert message in caught.value.faults[0].message


@pytest.mark.parametrize(
    ("app", "resolved"),
    [
        ("blog", "blog"),
        ("blog:app", "blog:app"),
        ("x.py", "/srv/x.py"),
        ("x.py:app", "/srv/x.py:app"),
        ("../x.py:app", "/x.py:app"),
        ("sub/x:app", "/srv/sub/x:app"),
        ("/opt/x.wsgi", "/opt/x.wsgi"),
        ("my-site.wsgi:app", "/srv/my-site.wsgi:app"),
        ("blog.wsgi:application", "blog.wsgi:application"),
        ("hello.wsgi:application", "/srv/hello.wsgi:application"),
        ("hello.wsgi", "/srv/hello.wsgi"),
    ],
)
def test_resolved(app: str, resolved: str) -> None:
    """What is both a module's and a file's name is the file when root has it."""
    assert apps.resolve(app, "/srv", there("/srv/hello.wsgi")) == resolved


def test_a_colon_in_the_path_would_end_it() -> None:
    with pytest.raises(Wrong, match=r'"/srv/a:b/x\.py" has a colon in it'):
        apps.resolve("x.py:app", "/srv/a:b", there())
    assert apps.resolve("blog:app", "/srv/a:b", there()) == "blog:app"


def test_parts() -> None:
    assert apps.split("/srv/x.py:a.b") == ("/srv/x.py", "a.b")
    assert apps.file_of("/srv/x.py:app") == "/srv/x.py"
    assert apps.file_of("blog.wsgi:app") is None
    assert apps.directory_of("/srv/a/../b/x.py:app") == "/srv/b"
    assert apps.directory_of("x.py") is None
