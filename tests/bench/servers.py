"""What is measured: a PostgreSQL for all, and homeservers on it, each as one process group on a loopback port."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml
from support.deployment import Deployment, Hearth, Process, Synapse

START_SECONDS = 120
IDLE_SHARE = 0.05  # of one core: a server that uses less has done what it was asked to
IDLE_SECONDS = 2


class Cluster:
    """A PostgreSQL cluster with default settings, reached by a Unix socket alone. It is durable: fsync is on."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / "data"
        self.user = "bench"
        # PostgreSQL refuses to run as root.
        self.account = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        self.bin = Path(subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True).stdout.strip())
        self.child = None

    def start(self):
        self.folder.mkdir(mode=0o755)
        if self.account:
            shutil.chown(self.folder, self.account["user"], self.account["group"])
        options = ["--encoding=UTF8", "--locale=C", "--auth=trust", f"--username={self.user}"]
        self.run("initdb", "--pgdata", self.data, *options)
        settings = {"listen_addresses": "", "unix_socket_directories": self.folder, "max_connections": 200}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder.parent / "postgresql.log").open("ab") as log:
            self.child = subprocess.Popen([self.bin / "postgres", "-D", self.data, *arguments], stdout=log, stderr=log, **self.account)
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run([self.bin / "pg_isready", "-q", "-h", self.folder]).returncode != 0:
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start: see {self.folder.parent / 'postgresql.log'}")
            time.sleep(0.1)
        return self

    def run(self, program, *arguments):
        command = [self.bin / program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", **self.account)
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr.strip()}")
        return done.stdout

    def sql(self, text, database="postgres"):
        return self.run("psql", "-qAtX", "-h", self.folder, "-U", self.user, "-d", database, "-v", "ON_ERROR_STOP=1", "-c", text)

    def new_database(self, name):
        """The libpq connection string of a new, empty database."""
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE template0 ENCODING UTF8 LC_COLLATE "C" LC_CTYPE "C"')
        return f"host={self.folder} user={self.user} dbname={name}"

    def stop(self):
        if self.child:
            self.child.send_signal(signal.SIGINT)  # without waiting for sessions that are still there
            self.child.wait(60)


def status_kib(pid, file, *fields):
    """The sum of these fields of a file below /proc that counts in kB."""
    with open(f"/proc/{pid}/{file}") as lines:
        return sum(int(line.split()[1]) for line in lines if line.split(":")[0] in fields)


def family(pid):
    """A process and all its descendants."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                pass  # It has ended meanwhile.
    found = [pid]
    for ancestor in found:
        found += [child for child, parent in parents.items() if parent == ancestor]
    return found


class Measured:
    """A deployment whose memory and processor time can be read. PostgreSQL is not among its processes: the bench starts that."""

    @property
    def pids(self):
        return family(self.processes[0].child.pid)

    def memory(self):
        """(proportional set size, resident set size) in bytes."""
        return tuple(sum(status_kib(pid, "smaps_rollup", field) for pid in self.pids) * 1024 for field in ("Pss", "Rss"))

    def cpu_seconds(self):
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def wait_until_idle(self, seconds):
        """True when the server has stopped working, False if it still does after so many seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            before = self.cpu_seconds()
            time.sleep(IDLE_SECONDS)
            if self.cpu_seconds() - before < IDLE_SHARE * IDLE_SECONDS:
                return True
        return False

    def restart(self):
        self.processes[0].terminate()
        self.start_process(0)

    @property
    def address(self):
        return f"127.0.0.1:{self.ports[0]}"

    def rewrite(self, **options):
        """Sets options of the configuration file that the tests' deployments don't care for."""
        config = yaml.safe_load(self.config.read_text())
        self.config.write_text(yaml.safe_dump({**config, **options}))


class MeasuredHearth(Measured, Hearth):
    title = "Hearth"

    def configure(self):
        super().configure()
        self.rewrite(log={"level": "warning"})


class MeasuredSynapse(Measured, Synapse):
    """On PostgreSQL, with the pool that its documentation proposes."""

    title = "Synapse"

    def __init__(self, python, folder, postgresql):
        super().__init__(python, folder)
        self.postgresql = dict(part.split("=", 1) for part in postgresql.split())

    def configure(self):
        super().configure()
        self.rewrite(
            database={"name": "psycopg2", "args": {**self.postgresql, "cp_min": 5, "cp_max": 10}},
            soft_file_limit=0,
        )


class MeasuredPeer(Measured, Deployment):
    """Any other homeserver, started by a program that knows how."""

    def __init__(self, title, hook, folder, postgresql):
        super().__init__(1, folder)
        self.kind = self.title = title
        self.hook = hook
        self.postgresql = postgresql

    def configure(self):
        pass

    def make_process(self, index):
        arguments = [self.hook, self.folder, self.server_name, "127.0.0.1", self.ports[index], self.postgresql]
        return Process(arguments, self.folder / "server.log")

    def answers(self, index, path):
        return path == "/health" or super().answers(index, path)  # an address of Synapse's, which not everybody has


def make_server(name, options, folder, cluster):
    """The server of this name, not yet started, on a new database."""
    postgresql = cluster.new_database(name)
    folder.mkdir()
    if name == "hearth":
        return MeasuredHearth(options.hearth, 1, folder, postgresql)
    if name == "synapse":
        return MeasuredSynapse(options.synapse_python or sys.executable, folder, postgresql)
    return MeasuredPeer(name, dict(peer.split("=", 1) for peer in options.peer)[name], folder, postgresql)
