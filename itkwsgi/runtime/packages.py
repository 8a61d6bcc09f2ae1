"""site-packages, put on sys.path when the role says so (every interpreter here starts with -S)."""

from __future__ import annotations

import os


def add_site_packages() -> None:
    """As the interpreter itself would at its start, .pth files included.

    site.main() looks for the user's home even where it is not used, and asks NSS when there is no HOME: a look-up that
    may hang, and loads libraries that every child would carry.
    """
    os.environ["HOME"] = "/"
    try:
        import site

        site.main()
    finally:
        del os.environ["HOME"]
