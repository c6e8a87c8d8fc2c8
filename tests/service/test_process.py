"""One server process as an operator has it: listeners, readiness, signals, log, metrics, accounts from the command line."""

import json
import os
import pty
import queue
import re
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests
import yaml

from support.client import Client, refused
from support.deployment import Hearth, Process, free_port
from support.http import Transport

pytestmark = [
    pytest.mark.hearth_only("starts the program itself"),
    pytest.mark.own_server,
    pytest.mark.filterwarnings("ignore:Unverified HTTPS request", "ignore:ssl.TLSVersion"),
]

WAIT_SECONDS = 30
SECRET = "a-secret-that-no-log-may-hold"


def wait_for(what):
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS} s"
        time.sleep(0.02)
    return found


class Manager:
    """The service manager's end of the notify protocol: hears everything, and tells of what has not been expected yet."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o777)
        self.heard = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while message := self.socket.recv(4096).decode():
            self.heard.put(message)

    def expect(self, variable):
        """Reads up to the message that sets this variable; nothing but WATCHDOG may come before it."""
        while variable not in (message := self.heard.get(timeout=WAIT_SECONDS)):
            assert "WATCHDOG=1" in message, f"expected {variable}, got {message}"


def make_certificate(folder, name):
    """A key and a certificate of its own for localhost, recognisable by its common name."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        + ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")],
        check=True,
        capture_output=True,
    )
    (folder / "tls.key").chmod(0o644)  # the server may run as another user


def served_certificate(port):
    return ssl.get_server_certificate(("127.0.0.1", port))


class Service(Hearth):
    """A process whose listeners stand in its configuration."""

    def __init__(self, program, **options):
        super().__init__(program, processes=1, **options)
        self.tls_port, self.metrics_port = free_port(), free_port()
        self.socket = self.folder / "run" / "client.sock"
        self.socket.parent.mkdir()
        self.socket.parent.chmod(0o777)
        self.log = self.data / "hearth.log"
        self.manager = Manager(self.folder / "notify")
        make_certificate(self.folder, "first")

    def listeners(self):
        return [
            {"port": self.ports[0], "bind_addresses": ["127.0.0.1", "::1"], "x_forwarded": True, "request_id_header": "X-Request-Id"},
            {"port": self.tls_port, "bind_addresses": ["127.0.0.1"], "tls": True, "resources": [{"names": ["client"]}]},
            {"path": str(self.socket), "mode": "0660"},
            {"port": self.metrics_port, "bind_addresses": ["127.0.0.1"], "type": "metrics"},
        ]

    def configure(self, **changes):
        self.options |= changes
        config = {
            **self.options,
            "data_directory": str(self.data),
            "signing_key_path": str(self.data / "signing.key"),
            "listeners": self.listeners(),
            "tls_certificate_path": str(self.folder / "tls.crt"),
            "tls_private_key_path": str(self.folder / "tls.key"),
            "enable_metrics": True,
            "log": {"level": "debug", "format": "json", "file": str(self.log)},
        }
        self.config.write_text(yaml.safe_dump(config))

    def make_process(self, index):
        environment = {**self.environment(), "NOTIFY_SOCKET": str(self.manager.path), "WATCHDOG_USEC": "200000"}
        return Process([self.program, "serve", "--config", self.config], self.folder / "process.log", environment)

    def send_signal(self, number):
        self.processes[0].child.send_signal(number)

    def reload(self, **changes):
        self.configure(**changes)
        self.send_signal(signal.SIGHUP)
        self.manager.expect("RELOADING=1")
        self.manager.expect("READY=1")

    def end(self):
        return self.processes[0].terminate()

    def lines(self):
        """The log's lines, parsed."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def client(self):
        return Client(self.transport)

    def url(self, path):
        return self.urls[0] + path


@pytest.fixture(scope="module")
def service(request):
    program = request.config.getoption("--hearth")
    if not program:
        pytest.skip("say which program to test: --hearth PATH")
    service = Service(program).start()
    service.manager.expect("READY=1")
    yield service
    assert service.end() == 0
    service.manager.expect("STOPPING=1")
    assert not [line for line in service.lines() if line["level"] == "error"]
    if not request.config.getoption("--keep"):
        service.remove()


def test_it_listens_on_everything(service):
    address = ("::1", service.ports[0], 0, 0)
    assert requests.get(service.url("/health"), timeout=10).text == "OK"
    with socket.create_connection(address[:2], timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert requests.get(f"https://127.0.0.1:{service.tls_port}/health", verify=False, timeout=10).text == "OK"
    connection = HTTPConnection("socket")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(service.socket))
    connection.request("GET", "/_matrix/client/versions")
    assert connection.getresponse().status == 200
    assert stat.S_IMODE(service.socket.stat().st_mode) == 0o660


def test_tls_is_not_older_than_1_2(service):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", service.tls_port), timeout=10) as plain, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(plain)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can keep a file to itself")
def test_a_key_that_only_root_may_read_is_read_before_root_is_given_up(request):
    program = request.config.getoption("--hearth")
    if not program:
        pytest.skip("say which program to test: --hearth PATH")
    service = Service(program)
    (service.folder / "tls.key").chmod(0o600)
    try:
        service.start()
        assert requests.get(f"https://127.0.0.1:{service.tls_port}/health", verify=False, timeout=10).text == "OK"
        certificate = served_certificate(service.tls_port)
        service.send_signal(signal.SIGHUP)  # The user that it runs as now may not read it: what there is goes on.
        wait_for(lambda: any(line["level"] == "error" and "tls.key" in line["message"] for line in service.lines()))
        assert served_certificate(service.tls_port) == certificate
        assert service.end() == 0
    finally:
        service.stop()
        service.remove()


def test_metrics_are_served_apart(service):
    assert requests.get(service.url("/metrics"), timeout=10).status_code == 404
    for _ in range(3):
        requests.get(service.url("/health"), timeout=10)
    answer = requests.get(f"http://127.0.0.1:{service.metrics_port}/metrics", timeout=10)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert requests.get(f"http://127.0.0.1:{service.metrics_port}/_matrix/client/versions", timeout=10).status_code == 404
    sample = re.compile(r'[a-z_]+(\{[a-z_]+="(\\.|[^"\\])*"(,[a-z_]+="(\\.|[^"\\])*")*\})? (-?[0-9.e+-]+|NaN|[+-]Inf)')
    values = {}
    for line in answer.text.splitlines():
        if not line.startswith("# "):
            assert sample.fullmatch(line), line
            values[line.rsplit(" ", 1)[0]] = float(line.rsplit(" ", 1)[1])
    assert values['hearth_http_requests_total{endpoint="GET /health",status="200"}'] >= 3
    assert values['hearth_http_request_duration_seconds_count{endpoint="GET /health"}'] >= 3
    assert values["process_resident_memory_bytes"] > 1 << 20
    for name in ("hearth_journal_position", "hearth_http_parked", "hearth_http_queued", "hearth_database_waiting", "process_open_fds", 'hearth_cache_bytes{cache="events"}'):
        assert name in values


def test_the_log_has_context_and_no_secret(service):
    user = service.client().register("ana", password=SECRET)
    room = user.create_room()
    headers = {"X-Request-Id": "the-request-of-the-proxy", "X-Forwarded-For": "192.0.2.7", "Authorization": f"Bearer {user.token}"}
    path = f"/_matrix/client/v3/rooms/{room}/joined_members"
    assert requests.get(service.url(path), headers=headers, params={"q": SECRET}, timeout=10).status_code == 200
    requests.get(service.url("/_matrix/client/v3/account/whoami"), params={"access_token": user.token}, timeout=10)
    since = user.get("/sync")["next_batch"]
    headers["X-Request-Id"] = "one-that-waits"
    requests.get(service.url("/_matrix/client/v3/sync"), headers=headers, params={"since": since, "timeout": 200}, timeout=10)

    line = wait_for(lambda: [line for line in service.lines() if line.get("request_id") == "the-request-of-the-proxy"])[0]
    assert (line["user"], line["room"], line["address"], line["status"]) == (user.user_id, room, "192.0.2.7", 200)
    assert line["endpoint"] == "/_matrix/client/v3/rooms/{roomId}/joined_members"
    waited = wait_for(lambda: [line for line in service.lines() if line.get("request_id") == "one-that-waits"])[0]
    assert (waited["user"], waited["status"]) == (user.user_id, 200)
    text = service.log.read_text() + service.printed()
    assert SECRET not in text and user.token not in text


def may_change_name(user):
    return user.get("/capabilities")["capabilities"]["m.set_displayname"]["enabled"]


def test_sighup_reads_what_can_change(service):
    user = service.client().register("bob")
    assert may_change_name(user)
    before = served_certificate(service.tls_port)
    moved = service.log.with_suffix(".1")

    make_certificate(service.folder, "second")
    service.log.rename(moved)
    service.configure(enable_set_displayname=False, server_name="other.test")
    service.send_signal(signal.SIGHUP)
    service.manager.expect("RELOADING=1")
    service.manager.expect("READY=1")
    assert served_certificate(service.tls_port) != before
    assert not may_change_name(user)
    assert user.get("/account/whoami")["user_id"].endswith(":" + service.server_name)
    messages = [line["message"] for line in service.lines()]
    assert any("'server_name' counts from the next start" in message for message in messages)
    moved.unlink()

    service.config.write_text("server_name: [")
    service.send_signal(signal.SIGHUP)
    service.manager.expect("RELOADING=1")
    service.manager.expect("READY=1")
    assert not may_change_name(user)
    complaint = [line for line in service.lines() if line["level"] == "error"]
    assert len(complaint) == 1 and "stays as it was" in complaint[0]["message"]
    service.log.unlink()
    service.configure(server_name=service.server_name, enable_set_displayname=True)
    service.send_signal(signal.SIGHUP)
    service.manager.expect("RELOADING=1")
    service.manager.expect("READY=1")
    assert may_change_name(user)


def test_options_of_rooms(service):
    ana, bob, admin = service.client().register("rosa"), service.client().register("rolf"), service.client().register("root")
    ana.put("/profile/{}/displayname", ana.user_id, body={"displayname": "Rosa"})
    bob.put("/profile/{}/displayname", bob.user_id, body={"displayname": "Rolf"})
    room, hidden = ana.create_room(preset="public_chat"), ana.create_room(name="hidden")
    for _ in range(12):
        ana.say(room)

    service.reload(
        filter_timeline_limit=5,
        require_membership_for_aliases=False,
        include_profile_data_on_invite=False,
        exclude_rooms_from_sync=[hidden],
    )
    sync = ana.get("/sync", query={"filter": json.dumps({"room": {"timeline": {"limit": 50}}})})
    assert list(sync["rooms"]["join"]) == [room]
    assert len(sync["rooms"]["join"][room]["timeline"]["events"]) == 5
    admin.put("/directory/room/{}", f"#made-outside:{service.server_name}", body={"room_id": room})
    ana.post("/rooms/{}/invite", room, body={"user_id": bob.user_id})
    assert ana.get("/rooms/{}/state/m.room.member/{}", room, bob.user_id) == {"membership": "invite"}
    bob.join(room)
    assert ana.get("/rooms/{}/state/m.room.member/{}", room, bob.user_id)["displayname"] == "Rolf"

    service.reload(require_membership_for_aliases=True, block_non_admin_invites=True)
    with refused(403, "M_FORBIDDEN"):
        admin.put("/directory/room/{}", f"#made-outside-too:{service.server_name}", body={"room_id": room})
    with refused(403, "M_FORBIDDEN"):
        ana.post("/rooms/{}/invite", room, body={"user_id": admin.user_id})
    with refused(403, "M_FORBIDDEN"):
        ana.put("/rooms/{}/state/m.room.member/{}", room, admin.user_id, body={"membership": "invite"})
    with refused(403, "M_FORBIDDEN"):
        ana.create_room(invite=[admin.user_id])
    service.reload(filter_timeline_limit=100, include_profile_data_on_invite=True, exclude_rooms_from_sync=[], block_non_admin_invites=False)
    assert hidden in ana.get("/sync")["rooms"]["join"]


def test_the_watchdog_hears_from_it(service):
    service.manager.expect("WATCHDOG=1")


def test_a_second_process_with_other_listeners_shares_the_server(service):
    port = free_port()
    arguments = [service.program, "serve", "--config", service.config, "--listen", f"127.0.0.1:{port}"]
    second = Process(arguments, service.folder / "second.log", service.environment())
    user = service.client().register("carol")

    second.start()
    other = Client(Transport([f"http://127.0.0.1:{port}"]), user.user_id, user.token)
    wait_for(lambda: second.running and service_answers(port))
    room = other.create_room()
    assert room in user.get("/joined_rooms")["joined_rooms"]
    assert second.terminate() == 0
    assert user.get("/joined_rooms")["joined_rooms"] == [room]


def in_database(service, sql):
    """Runs it on the embedded PostgreSQL."""
    psql = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"), key=lambda path: int(path.parts[-3]))[-1]
    arguments = [psql, "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", service.data / "postgresql", "-U", "hearth", "-c", sql, "hearth"]
    return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=WAIT_SECONDS).stdout


def test_a_dead_process_of_the_future_does_not_keep_others_out(service):
    """It was killed, and then the clock was set back: its lease seems to last for long."""
    port = free_port()
    arguments = [service.program, "serve", "--config", service.config, "--listen", f"127.0.0.1:{port}"]
    second = Process(arguments, service.folder / "late.log", service.environment())
    in_database(service, "INSERT INTO processes (process_nid, lease_until, sole) VALUES (1, now() + interval '1 hour', true)")

    second.start()
    wait_for(lambda: not second.running or service_answers(port))
    assert second.running
    assert in_database(service, "SELECT count(*) FROM processes WHERE process_nid = 1").strip() == "0"
    assert second.terminate() == 0


def test_a_process_that_was_given_up_asks_its_clients_to_come_again(service):
    """Others strike off who was silent for long, and it may not write before it has noticed."""
    user = service.client().register("struckoff")
    room = user.create_room()

    def refused_once():
        in_database(service, "DELETE FROM processes")
        response = user.send("PUT", "/rooms/{}/send/m.room.message/{}", room, str(time.monotonic()), body={"msgtype": "m.text", "body": "x"})
        assert response.status_code in (200, 503)
        assert response.status_code == 200 or int(response.headers["Retry-After"]) > 0
        return response.status_code == 503

    wait_for(refused_once)
    wait_for(lambda: user.send("PUT", "/rooms/{}/send/m.room.message/last", room, body={"msgtype": "m.text", "body": "x"}).status_code == 200)


def service_answers(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok
    except requests.RequestException:
        return False


def test_an_address_in_use_is_said(service):
    arguments = [service.program, "serve", "--config", service.config, "--listen", f"127.0.0.1:{service.ports[0]}"]
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, timeout=60, env={**os.environ, **service.environment()})
    assert done.returncode == 1
    assert "in use" in service.log.read_text()
    assert "in use" in done.stderr  # Who started it by hand is told, too.
    drop_errors(service.log)


def drop_errors(log):
    """Errors that a test has brought about are not those that the end of the run looks for."""
    lines = [line for line in log.read_text().splitlines(keepends=True) if json.loads(line)["level"] != "error"]
    with log.open("r+") as file:
        file.truncate()
        file.writelines(lines)


def test_accounts_from_the_command_line(service):
    password_file = service.folder / "password"
    password_file.write_text("from a file\nsecond line\n")
    done = service.command("create-user", "--admin", "--password-file", str(password_file), "dora")
    assert (done.returncode, done.stdout) == (0, f"@dora:{service.server_name}\n"), done.stderr
    assert service.client().login("dora", "from a file").user_id == f"@dora:{service.server_name}"
    for name, complaint in (("dora", "taken"), ("Not A Name", "name"), ("@x:elsewhere.test", "elsewhere.test")):
        done = service.command("create-user", "--password-file", str(password_file), name)
        assert done.returncode == 1 and complaint in done.stderr.lower(), done.stderr
    done = service.command("create-user", "erik")
    assert done.returncode == 1 and done.stdout == ""


def test_a_database_keeps_its_server_name(service):
    service.configure(server_name="other.test")
    done = service.command("create-user", "--password-file", str(service.folder / "homeserver.yaml"), "gina")
    service.configure(server_name=service.server_name)
    assert done.returncode == 1 and f"This database is of the server {service.server_name}" in done.stderr


def test_it_asks_a_person_at_a_terminal(service):
    child, terminal = pty.fork()
    if child == 0:
        os.execve(service.program, [str(service.program), "create-user", "--config", str(service.config)], {**os.environ, **service.environment()})
    shown = b""
    for question, answer in ((b"Name: ", b"fred\n"), (b"Password: ", SECRET.encode() + b"\n"), (b"Again: ", SECRET.encode() + b"\n")):
        while question not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, answer)
    status = os.waitpid(child, 0)[1]
    try:
        while more := os.read(terminal, 1000):
            shown += more
    except OSError:  # the terminal is closed with its last user
        pass
    assert os.waitstatus_to_exitcode(status) == 0, shown
    assert f"@fred:{service.server_name}".encode() in shown and SECRET.encode() not in shown
    assert service.client().login("fred", SECRET).user_id == f"@fred:{service.server_name}"


@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_root_becomes_a_user_of_its_own(service):
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{service.processes[0].child.pid}/status").read().splitlines() if ":\t" in line)
    assert set(status["Uid"].split()) == {str(service.data.stat().st_uid)} != {"0"}
    assert set(status["Gid"].split()) == {str(service.data.stat().st_gid)} != {"0"}
    assert int(status["CapEff"], 16) == 0


def test_sigterm_answers_parked_syncs(request):
    program = request.config.getoption("--hearth")
    if not program:
        pytest.skip("say which program to test: --hearth PATH")
    service = Service(program).start()
    try:
        user = service.client().register("ana")
        since = user.get("/sync")["next_batch"]
        answers = []

        def poll():
            answers.append(user.get("/sync", query={"since": since, "timeout": "60000"}))

        poller = threading.Thread(target=poll)
        poller.start()
        parked = f"http://127.0.0.1:{service.metrics_port}/metrics"
        wait_for(lambda: "\nhearth_http_parked 1\n" in requests.get(parked, timeout=10).text)
        started = time.monotonic()
        assert service.end() == 0
        poller.join(WAIT_SECONDS)
        assert answers and answers[0]["next_batch"]
        assert time.monotonic() - started < WAIT_SECONDS
    finally:
        service.end()
        service.remove()
    assert not [process for process in os.listdir("/proc") if process.isdigit() and str(service.data) in command_line(process)]


def test_clients_leave_descriptors_for_files(request):
    program = request.config.getoption("--hearth")
    if not program:
        pytest.skip("say which program to test: --hearth PATH")
    service = Service(program, soft_file_limit=256).start()
    connections = []
    try:
        user = service.client().register("ana")
        for _ in range(300):
            connections.append(socket.create_connection(("127.0.0.1", service.ports[0]), timeout=WAIT_SECONDS))
        time.sleep(0.5)
        assert len(os.listdir(f"/proc/{service.processes[0].child.pid}/fd")) < 200
        assert any("soft_file_limit" in line["message"] for line in service.lines() if line["level"] == "info")
        for connection in connections[:200]:
            connection.close()
        uri = user.call("POST", "/_matrix/media/v3/upload", data=b"room for me")["content_uri"]
        assert uri.startswith("mxc://")
    finally:
        for connection in connections:
            connection.close()
        assert service.end() == 0
        service.remove()


def command_line(process):
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""
