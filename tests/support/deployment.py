"""Starts real servers on loopback: Hearth, as several processes on one database, or Synapse, to check the tests themselves.

A deployment lives in a folder of its own. `start()` returns when it answers requests; `stop()` ends it and returns what was wrong
(an exit status, an error in the log, a report of a sanitizer, an invariant of the database), [] when all is well.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests
import yaml

from support.http import Transport
from support.remote import Entrance

SERVER_NAME = "hearth.test"
SHARED_SECRET = "registration shared secret of the tests"
BASE_URL = "https://hearth.test/"
UNLIMITED = {"per_second": 1000000, "burst_count": 1000000}
START_SECONDS = 90  # a sanitizer build on a busy machine, with a new database cluster
STOP_SECONDS = 60

# What both servers are told. A test that needs other options starts a deployment of its own with `**options`.
OPTIONS = {
    "server_name": SERVER_NAME,
    "public_baseurl": BASE_URL,
    "report_stats": False,
    "serve_server_wellknown": True,
    "enable_registration": True,
    "enable_registration_without_verification": True,
    "registration_shared_secret": SHARED_SECRET,
    "login_via_existing_session": {"enabled": True},
    "bcrypt_rounds": 4,
    "max_upload_size": "10M",
    "default_room_version": "12",
    "trusted_key_servers": [],
    "presence": {"enabled": False},
    "caches": {"sync_response_cache_duration": 0},
    "room_list_publication_rules": [{"action": "allow"}],
    "rc_message": UNLIMITED,
    "rc_registration": UNLIMITED,
    "rc_registration_token_validity": UNLIMITED,
    "rc_login": {"address": UNLIMITED, "account": UNLIMITED, "failed_attempts": UNLIMITED},
    "rc_admin_redaction": UNLIMITED,
    "rc_joins": {"local": UNLIMITED, "remote": UNLIMITED},
    "rc_joins_per_room": UNLIMITED,
    "rc_invites": {"per_room": UNLIMITED, "per_user": UNLIMITED, "per_issuer": UNLIMITED},
    "rc_3pid_validation": UNLIMITED,
    "rc_third_party_invite": UNLIMITED,
    "rc_room_creation": UNLIMITED,
    "rc_media_create": UNLIMITED,
    "rc_presence": {"per_user": UNLIMITED},
    "rc_user_directory": UNLIMITED,
    "rc_reports": UNLIMITED,
}

SANITIZER_REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", ": runtime error: ")
REPORT_LINES = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """One server process, its output in a file."""

    def __init__(self, arguments, output, environment=None):
        self.arguments = [str(argument) for argument in arguments]
        self.output = output
        self.environment = {**os.environ, **(environment or {})}
        self.child = None
        self.asked = False  # to end
        self.written_before = 0

    def start(self):
        self.asked = False
        self.written_before = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("ab") as output:
            self.child = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.environment, cwd=self.output.parent
            )

    def last_lines(self, lines=20):
        """What it wrote last, since it was started last."""
        if not self.output.exists():
            return ""
        return "\n".join(self.output.read_bytes()[self.written_before :].decode(errors="replace").splitlines()[-lines:])

    @property
    def running(self):
        return self.child is not None and self.child.poll() is None

    def kill(self):
        self.asked = True
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def terminate(self):
        """Asks it to end, and returns its exit status; None if it had to be killed."""
        self.ask_to_end()
        return self.wait()

    def ask_to_end(self):
        if self.running:
            self.asked = True
            self.child.send_signal(signal.SIGTERM)

    def wait(self):
        if self.child is None:
            return 0
        try:
            return self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return None


class Deployment:
    """What Hearth and Synapse have in common."""

    kind = None
    server_name = SERVER_NAME
    shared_secret = SHARED_SECRET

    def __init__(self, processes, folder=None, **options):
        # A server that is started as root goes on as a user of its own, who has to get at the folder.
        self.folder = Path(folder or tempfile.mkdtemp(prefix="hearth-tests-"))
        self.folder.chmod(0o755)
        self.ports = [free_port() for _ in range(processes)]
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        self.options = {**OPTIONS, **options}
        self.config = self.folder / "homeserver.yaml"
        self.processes = []
        self.transport = Transport(self.urls)

    def start(self):
        self.configure()
        for index in range(len(self.urls)):
            self.processes.append(self.make_process(index))
        for index in range(len(self.urls)):
            self.start_process(index, wait=False)
        for index in range(len(self.urls)):
            self.wait_until_ready(index)
        return self

    def start_process(self, index, wait=True):
        self.processes[index].start()
        if wait:
            self.wait_until_ready(index)

    def wait_until_ready(self, index):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.processes[index].running:
                break
            if self.answers(index, "/health") and self.answers(index, "/_matrix/client/versions"):
                return
            time.sleep(0.05)
        state = "does not answer" if self.processes[index].running else f"ended with status {self.processes[index].child.returncode}"
        raise RuntimeError(f"{self.kind}, process {index}, {state}; its last lines:\n{self.processes[index].last_lines()}")

    def answers(self, index, path):
        try:
            return requests.get(self.urls[index] + path, timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def stop(self):
        """Ends all processes and returns what was wrong."""
        problems = []
        for process in self.processes:
            process.ask_to_end()
        for index, process in enumerate(self.processes):
            status = process.wait()
            if status != 0:
                problems.append(f"process {index} ended with status {status}; its last lines:\n{process.last_lines()}")
        return problems + self.new_problems()

    def revive(self):
        """Starts processes again that have ended by themselves, and returns what there is to say about that."""
        problems = []
        for index, process in enumerate(self.processes):
            if process.child is not None and not process.running and not process.asked:
                problems.append(f"process {index} ended by itself with status {process.child.returncode}; its last lines:\n{process.last_lines()}")
                self.start_process(index)
        return problems

    def new_problems(self):
        """What the log holds of errors that were not reported yet."""
        return []

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def configure(self):
        raise NotImplementedError

    def make_process(self, index):
        raise NotImplementedError


class Hearth(Deployment):
    kind = "Hearth"

    def __init__(self, program, processes=2, folder=None, postgresql=None, **options):
        super().__init__(processes, folder, **options)
        self.program = Path(program).resolve()
        self.data = self.folder / "data"
        self.postgresql = postgresql
        self.offsets = {}
        self.entrance_process = None

    def configure(self):
        config = {
            **self.options,
            "data_directory": str(self.data),
            "media_store_path": str(self.data / "media"),
            "signing_key_path": str(self.data / "signing.key"),
            "log": {"level": "info", "format": "json"},
        }
        if self.postgresql:
            config["postgresql"] = self.postgresql
        self.config.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))

    def make_process(self, index):
        output = self.folder / f"process-{index}.log"
        arguments = [self.program, "serve", "--config", self.config, "--listen", f"127.0.0.1:{self.ports[index]}"]
        return Process(arguments, output, self.environment())

    @staticmethod
    def environment():
        """Sanitizers report undefined behaviour with a stack; a setting of the caller's own goes first."""
        return {"UBSAN_OPTIONS": os.environ.get("UBSAN_OPTIONS", "print_stacktrace=1")}

    def command(self, *arguments):
        """Runs a subcommand of the program on this deployment's configuration and returns it when it has ended."""
        return subprocess.run(
            [str(self.program), *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self.environment()},
        )

    def check_database(self):
        """The invariants of the schema: [] or what check-database says against them."""
        check = self.command("check-database")
        return [] if check.returncode == 0 else [f"check-database: status {check.returncode}\n{check.stdout}{check.stderr}"]

    def stop(self):
        problems = self.entrance_process.close() if self.entrance_process else []
        return problems + super().stop() + self.check_database()

    @property
    def entrance(self):
        """Where events of other servers come in, None if this build has no such program."""
        program = self.program.with_name("hearth-receive")
        if self.entrance_process is None and program.exists():
            self.entrance_process = Entrance(program, self.config, {**os.environ, **self.environment()})
        return self.entrance_process

    def routes(self):
        """The server's route table: [(method, path, auth)]."""
        listing = subprocess.run([str(self.program), "routes"], capture_output=True, text=True, timeout=30, check=True)
        return [tuple(line.split("\t")) for line in listing.stdout.splitlines()]

    def printed(self):
        """All that the processes have written so far."""
        return "".join(process.output.read_text(errors="replace") for process in self.processes if process.output.exists())

    def new_problems(self):
        return [problem for process in self.processes for problem in self.problems_of(process)]

    def problems_of(self, process):
        """The error lines and sanitizer reports that this process has written since the last look."""
        if not process.output.exists():
            return []
        with process.output.open("rb") as output:
            output.seek(self.offsets.get(process.output, 0))
            text = output.read()
            complete = text.rfind(b"\n") + 1
            self.offsets[process.output] = self.offsets.get(process.output, 0) + complete
        return problems_in(text[:complete].decode(errors="replace").splitlines())


def problems_in(lines):
    problems = []
    for number, line in enumerate(lines):
        if any(report in line for report in SANITIZER_REPORTS):
            return problems + ["\n".join(lines[number : number + REPORT_LINES])]
        if log_level(line) in ("error", "critical", "fatal"):
            problems.append(line)
    return problems


def log_level(line):
    if not line.startswith("{"):
        return None
    try:
        return json.loads(line).get("level")
    except ValueError:
        return None


class Synapse(Deployment):
    """Synapse on SQLite, for `--server synapse`. Its own log is none of our business."""

    kind = "Synapse"
    entrance = None  # for events of another server there is none

    def __init__(self, python=None, folder=None, **options):
        super().__init__(1, folder, **options)
        self.python = python or sys.executable

    def configure(self):
        folder = self.folder
        logging = {
            "version": 1,
            "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
            "handlers": {"file": {"class": "logging.StreamHandler", "formatter": "plain"}},
            "root": {"level": "WARNING", "handlers": ["file"]},
        }
        (folder / "log.yaml").write_text(yaml.safe_dump(logging))
        config = {
            **self.options,
            "listeners": [
                {"port": self.ports[0], "bind_addresses": ["127.0.0.1"], "type": "http", "resources": [{"names": ["client"]}]}
            ],
            "database": {"name": "sqlite3", "args": {"database": str(folder / "synapse.db")}},
            "log_config": str(folder / "log.yaml"),
            "media_store_path": str(folder / "media"),
            "signing_key_path": str(folder / "signing.key"),
            "macaroon_secret_key": "secret of the tests",
            "form_secret": "secret of the tests",
            "suppress_key_server_warning": True,
            "experimental_features": {"msc4222_enabled": True},
        }
        self.config.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
        generate = [self.python, "-m", "synapse.app.homeserver", "-c", str(self.config), "--generate-keys"]
        subprocess.run(generate, check=True, capture_output=True, cwd=folder)

    def make_process(self, index):
        arguments = [self.python, "-m", "synapse.app.homeserver", "-c", self.config]
        return Process(arguments, self.folder / "synapse.log")
