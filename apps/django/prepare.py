"""Makes the site's database and its first user, in DATA_DIR.  Run as the site's user; what is there already stays.

The password is made here and never leaves DATA_DIR: nobody's site starts with one that is written in a public file.
"""

import os
import secrets
from pathlib import Path

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "library.settings")

BOOKS = [
    ("The Left Hand of Darkness", "Ursula K. Le Guin", 1969),
    ("The UNIX Programming Environment", "Brian Kernighan and Rob Pike", 1984),
    ("To the Lighthouse", "Virginia Woolf", 1927),
]


def write_password(path: Path) -> str:
    """Make a password and leave it where only the site's user can read it."""
    password = secrets.token_urlsafe(9)
    path.touch(mode=0o600)
    path.write_text(password + "\n")
    return password


def prepare() -> None:
    """Bring the database up to date; the first time, fill it."""
    django.setup()
    from django.contrib.auth.models import User
    from django.db import transaction

    from library.models import Book

    call_command("migrate", verbosity=0)
    if User.objects.exists():
        return
    password = write_password(Path(os.environ["DATA_DIR"]) / "admin-password")
    with transaction.atomic():
        User.objects.create_superuser("admin", "admin@django.localhost", password)
        Book.objects.bulk_create(Book(title=title, author=author, year=year) for title, author, year in BOOKS)


if __name__ == "__main__":
    prepare()
