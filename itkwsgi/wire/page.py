"""The page that a visitor gets instead of an answer: one small document, readable on a phone, light or dark.

The front sends it, and a site's own process does: a visitor need not know which of them noticed.  `PAGE` and `WITH_ID`
are for str.format; whoever fills them in escapes what a visitor could have written.
"""

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{status} {name}</title>
<style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:0 auto;padding:14vh 1.5em 3em;overflow-wrap:anywhere;
color:#23262b;background:#f7f6f3}}
h1{{font-size:1.6em;line-height:1.25;letter-spacing:-.01em;margin:0 0 .6em}}
h1 span{{display:block;font-size:1rem;letter-spacing:.05em;margin-bottom:.3em}}
p{{margin:0 0 .6em}}
h1 span,address{{color:#63686f}}
address{{margin-top:2em;font-size:.875em;font-style:normal}}
@media (prefers-color-scheme:dark){{body{{color:#e8e6e1;background:#17191c}}h1 span,address{{color:#9aa0a8}}}}
</style>
<h1><span>{status}</span> {name}</h1>
<p>{text}</p>
{more}</html>
"""
WITH_ID = "<p>Whoever runs this site finds the cause in the log under <code>{}</code>.</p>\n"
# What a status means, in a sentence for visitors, where both send it.
TEXTS = {
    408: "What was sent took too long to arrive.",
    413: "What was sent is larger than this site takes.",
    500: "This site could not answer.",
    504: "This site took too long to answer.",
}
