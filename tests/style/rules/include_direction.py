"""Includes only point down the layers: base < abi < kho < luo < files < machine < wire < the rest."""
import re

from sources import blank, code_files, line_of, where

LAYERS = ["base", "abi", "kho", "luo", "files", "machine", "wire"]
TOP = ["client", "daemon", "compat", "cli"]  # siblings: none includes another,
CALLS = {"cli": "compat"}                     # but for a verb that is a room of its own
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)


def allowed(layer, target):
    if layer == target or CALLS.get(layer) == target:
        return True
    if target in TOP:
        return False
    return layer in TOP or LAYERS.index(target) < LAYERS.index(layer)


def problems(root):
    found = []
    for path in code_files(root, "src"):
        layer = path.relative_to(root / "src").parts[0]
        if layer not in LAYERS + TOP:
            found.append(f"{where(root, path)}: '{layer}' is no layer")
            continue
        text = blank(path.read_text(), keep_strings=True)
        for match in INCLUDE.finditer(text):
            target = match.group(1).split("/")[0]
            at = where(root, path, line_of(text, match.start()))
            if target == "outlive":  # the public API: made and used at the top
                if layer not in TOP:
                    found.append(f"{at}: {layer}/ must not include the public API")
            elif target not in LAYERS + TOP:
                found.append(f'{at}: include "{match.group(1)}" by its module path ("kho/arena.h")')
            elif not allowed(layer, target):
                found.append(f"{at}: {layer}/ must not include {match.group(1)}: it isn't below it")
    for path in code_files(root, "include"):
        text = blank(path.read_text(), keep_strings=True)
        for match in INCLUDE.finditer(text):
            if not match.group(1).startswith("outlive/"):
                at = where(root, path, line_of(text, match.start()))
                found.append(f"{at}: a public header includes {match.group(1)}, which isn't installed")
    return found
