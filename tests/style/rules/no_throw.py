"""Nothing of ours throws. Tests may (a fault hook simulates a crash with a token of its own)."""
import re

from sources import blank, code_files, line_of, where

THROW = re.compile(r"\bthrow\b")


def problems(root):
    found = []
    for path in code_files(root, "src", "include"):
        if path.stem.endswith(("_test", "_testing")):
            continue
        text = blank(path.read_text())
        for match in THROW.finditer(text):
            found.append(f"{where(root, path, line_of(text, match.start()))}: throw")
    return found
