"""The plain page that tells which user a site is."""

from __future__ import annotations

from tenants import Tenant
from visitor import Visitor


def test_shows_the_user_of_the_site(visitor: Visitor, tenants: dict[str, Tenant]) -> None:
    visitor.go("whoami.localhost")
    assert visitor.status == 200
    assert f"UID is: {tenants['whoami'].uid}, GID is: {tenants['whoami'].gid}" in visitor.text
