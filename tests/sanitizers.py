"""What sanitizers found in any process below a test: each finding is a file in the test's own folder.

On stderr it would end in a log that nobody reads - of a service, or of a worker in whose place the
keeper puts another one. Also the factor for time limits, which sanitizers need.
"""

import os

PATIENCE = float(os.environ.get("OUTLIVE_PATIENCE") or 1)
OPTIONS = ("ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")
FOLDER = "findings"


def environment(given, folder):
    """`given`, with the sanitizers told where to write. Programs without one don't care."""
    os.mkdir(os.path.join(folder, FOLDER))
    os.chmod(os.path.join(folder, FOLDER), 0o1777)  # services run as other users, too
    log = "log_path=" + os.path.join(folder, FOLDER, "found")
    return dict(given, **{name: f"{given[name]}:{log}" if given.get(name) else log
                          for name in OPTIONS})


def findings(folder):
    """The text of all of them; "" is what a test wants."""
    folder = os.path.join(folder, FOLDER)
    texts = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), errors="replace") as file:
            texts.append(file.read())
    return "\n".join(texts)
