"""The few rules of grammar that several modules share, as pieces of regular expressions.

All are written out octet by octet: ``\\w``, ``\\d`` and ``\\s`` mean Unicode's letters, digits and spaces in text, and
those are not HTTP's.  None uses a possessive quantifier: Python before 3.11.5 matches those wrongly.  None needs one
either: each repetition ends at an octet it cannot hold, so there is nothing to try twice.
"""

from __future__ import annotations

# RFC 9110 5.6.2
TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# RFC 9110 5.5: field content, and the white space in and around it
VALUE = r"[\t\x20-\x7e\x80-\xff]*"
# RFC 9110 5.6.4
QUOTED = r'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
