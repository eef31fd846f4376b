"""What the style rules share: finding sources, and reading them without comments and strings."""
import re
from pathlib import Path

CODE = {".cc", ".h", ".hpp", ".c"}
_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^()\\\s]{0,16})\((?:.*?)\)(?P=d)"'
    r"""|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'""",
    re.S,
)


def code_files(root, *folders, suffixes=CODE):
    """Every source below root/FOLDER, sorted."""
    found = []
    for folder in folders:
        base = Path(root) / folder
        if base.is_dir():
            found += [p for p in base.rglob("*") if p.suffix in suffixes and p.is_file()]
    return sorted(found)


def blank(text, keep_strings=False):
    """The text with comments (and strings) blanked out; lines and columns stay where they were."""

    def cover(match):
        token = match.group(0)
        if keep_strings and not token.startswith(("//", "/*")):
            return token
        return re.sub(r"[^\n]", " ", token)

    return _TOKEN.sub(cover, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def where(root, path, line=None):
    name = Path(path).relative_to(root).as_posix()
    return f"{name}:{line}" if line else name
