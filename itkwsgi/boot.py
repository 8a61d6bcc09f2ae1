"""The first file of a zygote, and of a pool that runs an interpreter of its own.

    PYTHON -I -S .../itkwsgi/boot.py zygote|pool [padding]

It makes the package ``itkwsgi`` importable without adding anything to ``sys.path``: a site's ``import werkzeug`` must
find the site's werkzeug or none, never the server's.  ``-S`` keeps site-packages (and the code in its .pth files) out
until the role says so: a zygote's belongs to root, a pool's own is read only after it became the site's user.

Runs in any interpreter from 3.9 on.  The padding argument is room for the process title.
"""

from __future__ import annotations

import os
import sys
from importlib import _bootstrap, machinery


def make_package_importable() -> None:
    """Put ``itkwsgi`` into sys.modules as a package found beside this file."""
    here = os.path.dirname(os.path.abspath(__file__))
    spec = machinery.PathFinder.find_spec("itkwsgi", [os.path.dirname(here)])
    if spec is None:
        raise SystemExit(f"itkwsgi: {here} is not the package")
    _bootstrap._load(spec)  # type: ignore[attr-defined]


def inert_main() -> None:
    """Replace ``__main__``: multiprocessing in a site must not run this file again."""
    sys.modules["__main__"] = type(sys)("__main__")
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
