"""What was acknowledged is there: after kill -9 of one server process and of all, and after PostgreSQL was restarted, all under load."""

import os
import signal
import threading
import time

import pytest
import requests

from support.client import Client, next_txn, unique
from support.http import Refused
from support.registration import register_with_secret

pytestmark = [pytest.mark.own_server, pytest.mark.timeout(900), pytest.mark.hearth_only("kills what only Hearth has several of")]

KILLS = 20
WRITERS = 6
RETRY_SECONDS = 60  # a request that is not answered by then is given up


class Writer(threading.Thread):
    """Sends without a pause until it is told to stop, and remembers what was acknowledged.

    A request that got no answer, or was answered with 5xx, is sent again under its transaction id, to any process, until it is
    acknowledged: so each text must be in the room exactly once, and those of one writer in their order.
    """

    def __init__(self, deployment, room, reader):
        super().__init__(daemon=True)
        self.user = register_with_secret(deployment, unique("writer"))
        self.user.join(room)
        self.room, self.reader = room, reader
        self.messages, self.to_device, self.account_data, self.uploads = [], [], None, []
        self.answers = {}
        self.problems = []
        self.stopped = threading.Event()

    def run(self):
        number = 0
        try:
            while not self.stopped.is_set():
                number += 1
                self.write(number)
        except Exception as error:  # pylint: disable=broad-except
            self.problems.append(f"{self.user!r}: {error!r}")

    def write(self, number):
        text = f"{self.user.localpart} {number}"
        content = {"msgtype": "m.text", "body": text}
        answer = self.insist("PUT", ("/rooms/{}/send/m.room.message/{}", self.room, next_txn()), body=content)
        self.messages.append((text, answer["event_id"]))
        if number % 4 == 0:
            messages = {self.reader.user_id: {self.reader.device_id: {"text": text}}}
            self.insist("PUT", ("/sendToDevice/org.example.x/{}", next_txn()), body={"messages": messages})
            self.to_device.append(text)
        if number % 5 == 0:
            self.insist("PUT", ("/user/{}/account_data/org.example.x", self.user.user_id), body={"text": text})
            self.account_data = text
        if number % 7 == 0:
            self.insist("PUT", ("/rooms/{}/state/org.example.state/{}", self.room, self.user.localpart), body={"text": text})
        if number % 11 == 0:
            data = text.encode() * 1000
            answer = self.insist("POST", ("/_matrix/media/v3/upload",), data=data, headers={"Content-Type": "text/plain"})
            self.uploads.append((answer["content_uri"], data))

    def insist(self, method, path, **options):
        """The JSON of the acknowledgement."""
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                response = self.user.send(method, *path, timeout=RETRY_SECONDS, **options)
                self.answers[response.status_code] = self.answers.get(response.status_code, 0) + 1
                if response.status_code == 200:
                    return response.json()
                if response.status_code < 500 and response.status_code != 429:
                    raise Refused(response)
                assert response.json()["errcode"] and response.json()["error"], "not in the standard form"
                if response.status_code == 503:
                    assert int(response.headers["Retry-After"]) > 0, "it passes: the client is to be told when to come again"
            except requests.ConnectionError:
                self.answers["no answer"] = self.answers.get("no answer", 0) + 1
            assert time.monotonic() < deadline, f"{method} {path[0]} was not answered for {RETRY_SECONDS} seconds"
            time.sleep(0.02)  # Who is refused a connection does not try again at once.


class Load:
    """Writers of one room, and a reader to compare with what they remember."""

    def __init__(self, deployment):
        self.deployment = deployment
        self.reader = register_with_secret(deployment, unique("reader"))
        self.room = self.reader.create_room(preset="public_chat", power_level_content_override={"events": {"org.example.state": 0}})
        self.writers = [Writer(deployment, self.room, self.reader) for _ in range(WRITERS)]

    def __enter__(self):
        for writer in self.writers:
            writer.start()
        return self

    def __exit__(self, *_):
        for writer in self.writers:
            writer.stopped.set()
        for writer in self.writers:
            writer.join(RETRY_SECONDS + 10)

    def acknowledged(self):
        return sum(len(writer.messages) for writer in self.writers)

    def wait_for(self, more, seconds=30):
        """Until so many more messages were acknowledged: the load is on again."""
        target, deadline = self.acknowledged() + more, time.monotonic() + seconds
        while self.acknowledged() < target:
            assert time.monotonic() < deadline, f"only {self.acknowledged()} of {target} messages were acknowledged"
            assert not self.problems(), self.problems()
            time.sleep(0.01)

    def problems(self):
        return [problem for writer in self.writers for problem in writer.problems]

    def check(self):
        """Nothing acknowledged is missing, nothing is there twice, and both processes say the same."""
        assert not self.problems(), self.problems()
        for process in range(len(self.deployment.urls)):
            self.check_messages(self.reader.on(process))
        self.check_rest()

    def check_messages(self, reader):
        history = reader.history(self.room)
        bodies = [event["content"].get("body") for event in history if event["type"] == "m.room.message"]
        found = {event["event_id"]: event for event in history}
        assert len(found) == len(history), "an event comes twice"
        for writer in self.writers:
            for text, event_id in writer.messages:
                assert event_id in found, f"{text} was acknowledged as {event_id} and is not there"
                assert found[event_id]["content"]["body"] == text
            mine = [body for body in bodies if body and body.startswith(writer.user.localpart + " ")]
            assert len(set(mine)) == len(mine), "a message was sent twice"
            assert mine == sorted(mine, key=lambda body: int(body.split()[1])), "messages of one sender are out of order"
            assert len(mine) - len(writer.messages) <= 1, "there is more than was sent"

    def check_rest(self):
        received, since = [], None
        while True:
            answer = self.reader.sync(since, filter={"room": {"rooms": []}})
            page = [event["content"]["text"] for event in answer.get("to_device", {}).get("events", [])]
            received += page
            since = answer["next_batch"]
            if not page:
                break
        for writer in self.writers:
            mine = [text for text in received if text.startswith(writer.user.localpart + " ")]
            assert mine[: len(writer.to_device)] == writer.to_device, "messages to devices"
            if writer.account_data:
                stored = writer.user.get("/user/{}/account_data/org.example.x", writer.user.user_id)["text"]
                assert int(stored.split()[1]) >= int(writer.account_data.split()[1]), "account data"
            for uri, data in writer.uploads:
                server_name, media_id = uri[len("mxc://") :].split("/")
                response = writer.user.send("GET", "/_matrix/client/v1/media/download/{}/{}", server_name, media_id)
                assert response.content == data, f"{uri} is not what was uploaded"


@pytest.fixture
def deployment(deployments):
    """A server of the test's own. What it logs is looked at by the test: one that loses its database has trouble to report."""
    deployment = deployments.start(processes=2)
    yield deployment
    deployment.new_problems()
    problems = deployments.stop(deployment)
    assert not problems, "\n".join(problems)


def test_killing_servers_loses_nothing_that_was_acknowledged(deployment, rng):
    """Twenty rounds, one process and both in turns, each at a random moment of the load."""
    with Load(deployment) as load:
        for number in range(KILLS):
            load.wait_for(20)
            time.sleep(rng.random() * 0.1)
            killed = (0, 1) if number % 2 else (rng.randrange(2),)
            for index in killed:
                deployment.processes[index].kill()
            if len(killed) == 1:
                load.wait_for(20)  # The other one goes on.
            for index in killed:
                deployment.start_process(index, wait=False)
            for index in killed:
                deployment.wait_until_ready(index)
    load.check()
    assert not deployment.new_problems()


def postmaster(deployment):
    (pid_file,) = deployment.data.glob("**/postmaster.pid")
    return int(pid_file.read_text().split()[0])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL], ids=["stopped", "crashed", "killed"])
def test_a_restart_of_postgresql_fails_requests_cleanly_and_is_survived(deployment, how):
    """The server starts its private PostgreSQL again. What it logs meanwhile is its own affair: there is trouble to report."""
    with Load(deployment) as load:
        for _ in range(2):
            load.wait_for(50)
            pid = postmaster(deployment)
            os.kill(pid, how)
            wait_until(lambda: not alive(pid))
            load.wait_for(50, seconds=60)
            assert not deployment.revive()
    load.check()
    deployment.new_problems()
    for index in range(len(deployment.urls)):
        assert Client(deployment.transport.pinned(index)).send("GET", "/health").status_code == 200


def alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_that_is_asked_to_end_finishes_what_it_has_begun(deployment):
    """SIGTERM under load: parked polls are answered, requests under way too, and the status is 0. The other process goes on."""
    with Load(deployment) as load:
        for _ in range(3):
            load.wait_for(20)
            listener = load.writers[0].user.on(0)
            with listener.parked(listener.now(), seconds=30, filter={"room": {"rooms": []}, "account_data": {"types": []}}) as answer:
                started = time.monotonic()
                assert deployment.processes[0].terminate() == 0
                assert answer()["next_batch"]
                assert time.monotonic() - started < 20
            load.wait_for(20)
            deployment.start_process(0)
    load.check()
    assert not deployment.new_problems()
