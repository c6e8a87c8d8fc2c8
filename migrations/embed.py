"""Writes the C file that holds the migrations: embed.py OUTPUT SQL-FILE..."""
import os
import re
import sys


def literal(line):
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in line) + '"'


with open(sys.argv[1], "w", encoding="ascii") as out:
    out.write('#include "migrations/migrations.h"\n\n')
    last = 0
    rows = []
    for path in sys.argv[2:]:
        name = os.path.basename(path)
        match = re.fullmatch(r"(\d{4})_[a-z0-9_]+\.sql", name)
        if not match or int(match[1]) <= last:
            sys.exit(f"{name}: migrations are named 0001_what.sql, 0002_… and listed in that order")
        last = int(match[1])
        with open(path, "rb") as sql:
            lines = sql.read().splitlines(keepends=True)
        out.write(f"static const char sql_{last}[] =\n\t" + "\n\t".join(map(literal, lines or [b""])) + ";\n\n")
        rows.append(f'\t{{ {last}, "{name}", {{ sql_{last}, sizeof(sql_{last}) - 1 }} }},\n')
    out.write("const struct migration hearth_migrations[] = {\n" + ("".join(rows) or "\t{ 0 },\n") + "};\n")
    out.write(f"const size_t hearth_migration_count = {len(rows)};\n")
