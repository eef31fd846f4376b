"""packaging/outlive.toml is TOML, and has exactly the keys that outlived's configuration reads."""
import re
import tomllib

READ = re.compile(r'^Status read_(\w+)\(Table& .*?^}', re.M | re.S)
KEY = re.compile(r'\btable\.(?:text|texts|flag|number|size|milliseconds|ids)\(\s*"([\w-]+)"')
COMMENTED = re.compile(r"^# ?((?:[\w-]+ = .*)|(?:\[(?:services|quota|grant)\.\w+\]))$", re.M)


def parsed_keys(source):
    """{section: keys} of the functions read_SECTION."""
    return {m.group(1): set(KEY.findall(m.group(0))) for m in READ.finditer(source)}


def sample_keys(text):
    """The same of the sample, with its commented keys switched on."""
    config = tomllib.loads(COMMENTED.sub(r"\1", text))
    services = config.pop("services", {})
    keys = {section: set(table) for section, table in config.items()}
    for section in ("quota", "grant"):
        tables = config.pop(section, {})
        keys[section] = set().union(*tables.values()) if tables else set()
    keys["service"] = set().union(*services.values()) if services else set()
    return keys


def problems(root):
    source, sample = root / "src/daemon/config.cc", root / "packaging/outlive.toml"
    try:
        told = sample_keys(sample.read_text())
    except tomllib.TOMLDecodeError as error:
        return [f"packaging/outlive.toml: {error}"]
    read = parsed_keys(source.read_text())
    if not read:
        return ["src/daemon/config.cc: no function read_SECTION(Table&, ...) found"]
    found = []
    for section in sorted(read.keys() | told.keys()):
        for key in sorted(read.get(section, set()) - told.get(section, set())):
            found.append(f"packaging/outlive.toml: [{section}] {key} is read by outlived, and isn't there")
        for key in sorted(told.get(section, set()) - read.get(section, set())):
            found.append(f"packaging/outlive.toml: outlived doesn't know [{section}] {key}")
    return found
