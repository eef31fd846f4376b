"""Formats are defined in src/abi and nowhere else: a packed structure elsewhere is a hidden format."""
import re

from sources import blank, code_files, line_of, where

PACKED = re.compile(r"gnu::packed|__attribute__\s*\(\(\s*_*packed|#\s*pragma\s+pack")


def problems(root):
    found = []
    for path in code_files(root, "src", "include", "examples"):
        if root / "src" / "abi" in path.parents or path.stem.endswith("_test"):
            continue
        text = blank(path.read_text())
        for match in PACKED.finditer(text):
            at = where(root, path, line_of(text, match.start()))
            found.append(f"{at}: a packed structure outside src/abi")
    return found
