"""Every relative link in README.md and docs/ leads to a file that is there."""
import re

from sources import line_of, where

LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def problems(root):
    found = []
    for path in sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")]):
        text = FENCE.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), path.read_text())
        for match in LINK.finditer(text):
            if not (path.parent / match.group(1)).exists():
                found.append(f"{where(root, path, line_of(text, match.start()))}: no file {match.group(1)}")
    return found
