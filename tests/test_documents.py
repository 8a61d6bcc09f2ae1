"""The documents: links lead somewhere, samples parse."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parent.parent
DOCUMENTS = sorted([*TOP.glob("*.md"), *(TOP / "docs").glob("**/*.md")])

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def samples() -> list[Any]:
    """Every fenced sample and its language, named for its place."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(pytest.param(match[1], match[2], id=f"{document.name}:{line}"))
    return found


def anchors(document: Path) -> set[str]:
    """The names under which a document's headings can be linked to."""
    headings = HEADING.findall(FENCE.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(FENCE.sub("", document.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name) if name else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize(("language", "sample"), samples())
def test_samples_parse(language: str, sample: str) -> None:
    if language == "toml":
        assert tomllib.loads(sample)
    elif language == "python":
        compile(sample, "sample", "exec")
    elif language in ("sh", "bash"):
        subprocess.run(["bash", "-n"], input=sample, text=True, check=True, timeout=10)
    else:
        assert language in ("", "text", "ini", "apache", "nginx", "json"), "a language that nothing here checks"


def test_fences_are_closed() -> None:
    for document in DOCUMENTS:
        fences = re.findall(r"^```(.*)$", document.read_text(), re.MULTILINE)
        assert len(fences) % 2 == 0, document.name
        assert not any(fences[1::2]), document.name
