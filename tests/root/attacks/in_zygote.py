"""Code of an attacker's inside a zygote, which may become any site's user: preloaded as if it were a framework."""

from __future__ import annotations

from tests.root.attacks import backdoor, table

backdoor.attack({**table.IN_ZYGOTE, **table.ZYGOTE_MAY, **table.IN_NAMESPACE}, backdoor.known())
