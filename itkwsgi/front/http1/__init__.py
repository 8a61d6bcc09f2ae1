"""HTTP/1.1 as bytes in and bytes out: no sockets, no loop, nothing but the standard library.

`parser` turns what a client sends into the events of `events`; `answer` frames what goes back.  Both follow RFC 9110
and 9112 to the letter and pick, wherever the letter leaves a choice, the reading on which no two servers can disagree:
what could be read in two ways is refused.  Nothing here is lenient for a known client's sake.
"""
