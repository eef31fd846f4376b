"""No source is longer than 500 lines: split it by noun. main.cc stays a table of contents: 80."""
from sources import code_files, where

MOST = 500
MOST_MAIN = 80


def problems(root):
    found = []
    for path in code_files(root, "src", "include"):
        lines = path.read_text().count("\n")
        most = MOST_MAIN if path.name == "main.cc" else MOST
        if lines > most:
            found.append(f"{where(root, path)}: {lines} lines, more than {most}")
    return found
