"""The first file of a zygote, and of a pool that runs an interpreter of its own.

    PYTHON -I -S .../itkwsgi/boot.py zygote|pool [padding]

It makes the package ``itkwsgi`` importable without adding anything to ``sys.path``: a site's ``import werkzeug`` must
find the site's werkzeug or none, never the server's.  ``-S`` keeps site-packages (and the code in its .pth files) out
until the role says so: a zygote's belongs to root, a pool's own is read only after it became the site's user.

Runs in any interpreter from 3.9 on.  The padding argument is room for the process title.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types


def make_package_importable() -> None:
    """Put ``itkwsgi`` into sys.modules as a package found beside this file."""
    here = os.path.dirname(os.path.abspath(__file__))
    spec = importlib.util.spec_from_file_location(
        "itkwsgi", os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
    if spec is None or spec.loader is None:
        raise SystemExit(f"itkwsgi: {here} is not the package")
    package = importlib.util.module_from_spec(spec)
    sys.modules["itkwsgi"] = package
    spec.loader.exec_module(package)


def inert_main() -> None:
    """Replace ``__main__``: multiprocessing in a site must not run this file again."""
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = [""]


def main(role: str) -> None:
    """Become that role; does not come back."""
    make_package_importable()
    inert_main()
    if role == "zygote":
        from itkwsgi.zygote.main import run
    else:
        from itkwsgi.runtime.main import run
    run()


if __name__ == "__main__":
    main(sys.argv[1])
