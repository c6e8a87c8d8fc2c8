"""Measures the servers one after the other, so that each has the machine to itself, and prints the table."""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import phases
import requests
from load import Failed, Load
from servers import Cluster, make_server
from support.http import Refused
from table import table

FLOOR_TABLES = """
CREATE TABLE event (nid bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, json text NOT NULL);
CREATE TABLE head (id int PRIMARY KEY, pos bigint NOT NULL);
INSERT INTO head SELECT n, 0 FROM generate_series(0, 99) n;
"""
# One round trip and one commit: a row in, another changed. Each client has its own head, so none waits for another's lock.
FLOOR_COMMIT = """WITH advanced AS (UPDATE head SET pos = pos + 1 WHERE id = :client_id RETURNING pos)
INSERT INTO event (json) SELECT repeat('x', 500) || pos FROM advanced;
"""


def say(text):
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def floor(options, folder, cluster):
    """Commits a second that PostgreSQL itself does on this disk: no homeserver can acknowledge more messages one by one."""
    if "messages" not in options.phases:
        return {}
    cluster.new_database("floor")
    cluster.sql(FLOOR_TABLES, "floor")
    script = cluster.folder.parent / "floor.sql"
    script.write_text(FLOOR_COMMIT)
    figures = {}
    for clients in (1, 8, 32):
        where = ["-h", cluster.folder, "-U", cluster.user, "--no-vacuum", "--protocol=prepared", "-f", script]
        said = cluster.run("pgbench", *where, "-c", str(clients), "-j", "2" if clients > 1 else "1", "-T", str(max(1, round(options.seconds))), "floor")
        figures[f"messages_{clients}"] = float(next(line.split()[2] for line in said.splitlines() if line.startswith("tps =")))
    return figures


def measure_server(name, options, folder, cluster, notes):
    """(title, figures) of a homeserver. What it does not know is left out; what fails is left out and noted."""
    server = make_server(name, options, folder, cluster)
    world = phases.World(server, Load(options.load), options)
    figures = {}
    try:
        server.start()
        for phase in (phase for phase in phases.ALL if phase in options.phases):
            began = time.monotonic()
            try:
                figures |= phases.ALL[phase](world)
            except Refused as refusal:
                if refusal.errcode != "M_UNRECOGNIZED":
                    notes.append(f"{server.title}, {phase}: {refusal}")
            except (Failed, requests.RequestException) as failure:
                notes.append(f"{server.title}, {phase}: {failure}")
            say(f"{server.title}: {phase} took {time.monotonic() - began:.0f} s")
            if not server.processes[0].running:
                notes.append(f"{server.title} ended during {phase}")
                break
    except RuntimeError as failure:
        notes.append(str(failure))
    finally:
        notes += [f"{server.title}, at its end: {problem}" for problem in server.stop()]
    return server.title, figures


def measure(options):
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=options.work))
    folder.chmod(0o755)
    cluster = Cluster(folder / "postgresql")
    results, titles, notes = {}, {}, []
    try:
        cluster.start()
        for name in options.servers:
            say(f"measuring {name}")
            if name == "floor":
                titles[name], results[name] = "PostgreSQL's floor", floor(options, folder, cluster)
            else:
                titles[name], results[name] = measure_server(name, options, folder / name, cluster, notes)
    finally:
        cluster.stop()
        if notes:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    print(table(options, results, titles))
    if notes:
        print("\nWhat went wrong:\n" + "\n".join(f"- {note}" for note in notes))
    return 1 if notes else 0
