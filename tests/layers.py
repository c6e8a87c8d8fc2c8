#!/usr/bin/env python3
"""Which way the arrows point: prints each #include that a file must not have, and fails if there is one.

lib/X includes what USES says, and nothing of homeserver/. In homeserver/, a file of a domain (a folder) includes of another domain only
headers that are named after it (rooms/rooms.h, state/state_store.h), and those that it EXPOSES besides. Tests, benchmarks and fuzz
targets may look further, within homeserver/.

layers.py [FOLDER]    of the sources; by default the one above this file
"""

import re
import sys
from pathlib import Path

USES = {
    "base": set(),
    "json": {"base"},
    "matrix": {"base"},
    "http": {"base", "json"},
    "db": {"base"},
    "config": {"base"},
    "log": {"base"},
    "metrics": {"base"},
}
EXPOSES = {
    # Who is in which room; an event as a client sees it, if they may; what others add to a commit; aliases; members' events.
    "rooms": {"memberships.h", "event_view.h", "visibility.h", "adders.h", "aliases.h", "member_content.h"},
    "accounts": {"uia.h"},  # user-interactive authentication
    "sync": {"waiters.h", "filter.h"},  # what wakes parked polls; filters, of which other endpoints take parts
    "userdata": {"ignored.h"},  # whom a reader ignores
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
LOOSE = re.compile(r"_(test|bench|fuzz)\.c$")


def includes(path):
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match.group(1)


def library_may(library, path, header):
    folder = header.split("/")[0]
    if "/" not in header:
        return (path.parent / header).exists()
    return folder == library or folder in USES[library]


def domain_may(domain, header, domains):
    folder, _, name = header.rpartition("/")
    if folder not in domains or folder == domain:
        return True
    return name == f"{folder}.h" or name.startswith(f"{folder}_") or name in EXPOSES.get(folder, ())


def offenders(root):
    for path in sorted((root / "lib").rglob("*.[ch]")):
        library = path.relative_to(root / "lib").parts[0]
        if library not in USES:
            yield f"{path.relative_to(root)}: lib/{library} is not known to tests/layers.py"
            continue
        for number, header in includes(path):
            if not library_may(library, path, header):
                yield f"{path.relative_to(root)}:{number}: lib/{library} must not include {header}"
    homeserver = root / "homeserver"
    domains = {path.name for path in homeserver.iterdir() if path.is_dir()}
    for path in sorted(homeserver.rglob("*.[ch]")):
        parts = path.relative_to(homeserver).parts
        if LOOSE.search(path.name):
            continue
        for number, header in includes(path):
            if not domain_may(parts[0] if len(parts) > 1 else None, header, domains):
                yield f"{path.relative_to(root)}:{number}: of {header.split('/')[0]} only headers of that name"


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    found = list(offenders(root))
    print("\n".join(found) or "all arrows point the right way")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
