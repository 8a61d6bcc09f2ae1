"""`itkwsgi.info` as a page and as text.  No script, nothing from elsewhere, everything escaped."""

from __future__ import annotations

from html import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from itkwsgi.runtime.info import Row, Section

STYLE = """
:root{color-scheme:light dark;--ink:#23262b;--paper:#f7f6f3;--soft:#63686f;--line:#e2dfd8;--box:#fff}
@media (prefers-color-scheme:dark){:root{--ink:#e8e6e1;--paper:#17191c;--soft:#9aa0a8;--line:#2e3238;--box:#1e2125}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;max-width:70em;margin:0 auto;padding:2em 1em 4em;color:var(--ink);
background:var(--paper)}
h1{font-size:1.6em;line-height:1.25;letter-spacing:-.01em;margin:0 0 .6em}
nav{display:flex;flex-wrap:wrap;gap:.2em 1em;margin:0 0 2em}
nav a{color:var(--soft)}
h2{font-size:1.15em;margin:2em 0 .5em}
table{width:100%;border-collapse:collapse;background:var(--box);border:1px solid var(--line);font-size:.875em}
th,td{text-align:left;vertical-align:top;padding:.4em .7em;border-top:1px solid var(--line);overflow-wrap:anywhere;
white-space:pre-line}
thead th{color:var(--soft);font-weight:500;border-top:0}
tbody th{font-weight:600;width:30%}
.wide tbody th{width:auto;white-space:nowrap}
.own td:first-of-type{font-weight:600}
@media (max-width:44em){thead{display:none}tr{display:block;border-top:1px solid var(--line);padding:.4em 0}
tr:first-child{border-top:0}th,td{display:block;border:0;padding:.1em .7em;width:auto!important}
.wide td{display:inline-block;max-width:100%;padding-right:.5em}
.wide td::before{content:attr(title) ": ";color:var(--soft)}}
"""

COMPARED = ("local value", "master value")


def html(sections: list[Section], title: str) -> str:
    """The document."""
    links = "".join(f'<a href="#{anchor(section)}">{escape(section.title)}</a>' for section in sections)
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="robots" content="noindex">\n',
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n<h1>{escape(title)}</h1>\n<nav>{links}</nav>\n",
            *(part for section in sections for part in table(section)),
            "</html>\n",
        )
    )


def anchor(section: Section) -> str:
    """The title as part of a URL."""
    return section.title.lower().replace(" ", "-")


def table(section: Section) -> Iterator[str]:
    """One section."""
    wide = ' class="wide"' if len(section.heads) > 2 else ""
    yield f'<h2 id="{anchor(section)}">{escape(section.title)}</h2>\n<table{wide}>\n'
    if section.heads:
        yield f"<thead><tr>{''.join(f'<th>{escape(head)}</th>' for head in section.heads)}</tr></thead>\n"
    yield "<tbody>\n"
    for row in section.rows:
        own = ' class="own"' if section.heads[1:3] == COMPARED and row[1] != row[2] else ""
        yield f"<tr{own}>{''.join(cells(row, section.heads))}</tr>\n"
    yield "</tbody></table>\n"


def cells(row: Row, heads: Row) -> Iterator[str]:
    """The name and what belongs to it; each says its column, for a narrow screen."""
    yield f"<th>{escape(row[0])}</th>"
    for number, cell in enumerate(row[1:], 1):
        named = f' title="{escape(heads[number])}"' if heads else ""
        yield f"<td{named}>{escape(cell)}</td>"


def text(sections: list[Section], title: str) -> str:
    """The same for a terminal and for scripts: a tab between the columns."""
    found = [title]
    for section in sections:
        found += ["", f"== {section.title} =="]
        found += ["\t".join(cell.replace("\n", " ") for cell in row) for row in section.rows]
    return "\n".join(found) + "\n"
