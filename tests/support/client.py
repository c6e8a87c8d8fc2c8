"""A small Matrix client for tests. Paths are relative to /_matrix/client/v3 unless they begin with /_ or /.well-known."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from support.http import Refused, fill

PASSWORD = "correct horse battery staple"
MALFORMED = ("M_BAD_JSON", "M_INVALID_PARAM", "M_MISSING_PARAM")  # a field is missing or has the wrong type
NOT_IN_THIS_STATE = ("M_FORBIDDEN", "M_BAD_STATE")  # the membership of the target does not permit it
POLL_SECONDS = 20  # how long a test waits, by long polls, for what is to come at once

_names = itertools.count(1)
_transactions = itertools.count(1)


def unique(prefix="x"):
    """A name that no other test of this run uses."""
    return f"{prefix}{next(_names)}"


def next_txn():
    return f"txn{next(_transactions)}"


@contextmanager
def refused(status, errcode):
    """The request in the block must be refused with this status and errcode (either may be a tuple of several), in the standard form."""
    with pytest.raises(Refused) as caught:
        yield caught
    error = caught.value
    assert error.errcode in (errcode if isinstance(errcode, tuple) else (errcode,)), f"expected {errcode}: {error}"
    assert error.status in (status if isinstance(status, tuple) else (status,)), f"expected {status}: {error}"
    assert isinstance(error.body.get("error"), str), f"no text for people: {error}"


class Client:
    """One device of one user, or nobody (`Client(transport)`)."""

    def __init__(self, transport, user_id=None, token=None, device_id=None, password=PASSWORD):
        self.transport = transport
        self.user_id = user_id
        self.token = token
        self.device_id = device_id
        self.password = password

    def __repr__(self):
        return f"<{self.user_id or 'nobody'} {self.device_id or ''}>"

    @property
    def localpart(self):
        return self.user_id[1:].split(":", 1)[0]

    @property
    def server_name(self):
        return self.user_id.split(":", 1)[1]

    def on(self, process):
        """The same device, talking to one process alone."""
        return Client(self.transport.pinned(process), self.user_id, self.token, self.device_id, self.password)

    def without_token(self):
        return Client(self.transport)

    # Requests

    def send(self, method, path, *values, **options):
        """The response, whatever its status."""
        path = fill(path, *values)
        if not path.startswith(("/_", "/.well-known", "/health")):
            path = "/_matrix/client/v3" + path
        options.setdefault("token", self.token)
        return self.transport.send(method, path, **options)

    def call(self, method, path, *values, **options):
        """The JSON of a successful response; raises Refused for any other."""
        response = self.send(method, path, *values, **options)
        if response.status_code >= 400:
            raise Refused(response)
        assert response.headers["Content-Type"].split(";")[0] == "application/json", response.headers
        return response.json()

    def get(self, path, *values, **options):
        return self.call("GET", path, *values, **options)

    def put(self, path, *values, body=None, **options):
        return self.call("PUT", path, *values, body={} if body is None and "data" not in options else body, **options)

    def post(self, path, *values, body=None, **options):
        return self.call("POST", path, *values, body={} if body is None and "data" not in options else body, **options)

    def delete(self, path, *values, **options):
        return self.call("DELETE", path, *values, **options)

    # Accounts

    def with_session(self, answer, password=PASSWORD):
        """The client that an answer of /register or /login describes."""
        return Client(self.transport, answer["user_id"], answer["access_token"], answer.get("device_id"), password)

    def register(self, username, password=PASSWORD, **body):
        body = {"username": username, "password": password, "auth": {"type": "m.login.dummy"}, **body}
        return self.with_session(self.post("/register", body=body, token=None), password)

    def login(self, user=None, password=None, **body):
        """A further device: of this client's own user unless another is named."""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user or self.user_id},
            "password": password or self.password,
            **body,
        }
        return self.with_session(self.post("/login", body=body, token=None), body["password"])

    def password_auth(self, **more):
        """The `auth` of a user-interactive request, for the password stage."""
        identifier = {"type": "m.id.user", "user": self.user_id}
        return {"type": "m.login.password", "identifier": identifier, "password": self.password, **more}

    def authorise(self, method, path, *values, body=None):
        """A request that asks for user-interactive authentication, and then gets it by password."""
        response = self.send(method, path, *values, body=body or {})
        assert response.status_code == 401, response.text
        auth = self.password_auth(session=response.json()["session"])
        return self.call(method, path, *values, body={**(body or {}), "auth": auth})

    # Rooms

    def create_room(self, **body):
        return self.post("/createRoom", body=body)["room_id"]

    def invite(self, room, user, **body):
        return self.post("/rooms/{}/invite", room, body={"user_id": user_id_of(user), **body})

    def join(self, room, **body):
        return self.post("/join/{}", room, body=body)["room_id"]

    def leave(self, room, **body):
        return self.post("/rooms/{}/leave", room, body=body)

    def forget(self, room):
        return self.post("/rooms/{}/forget", room)

    def kick(self, room, user, **body):
        return self.post("/rooms/{}/kick", room, body={"user_id": user_id_of(user), **body})

    def ban(self, room, user, **body):
        return self.post("/rooms/{}/ban", room, body={"user_id": user_id_of(user), **body})

    def unban(self, room, user, **body):
        return self.post("/rooms/{}/unban", room, body={"user_id": user_id_of(user), **body})

    def say(self, room, text="hello", txn=None, **content):
        """Sends a text message and returns its event ID."""
        return self.send_event(room, "m.room.message", {"msgtype": "m.text", "body": text, **content}, txn)

    def send_event(self, room, event_type, content, txn=None):
        return self.put("/rooms/{}/send/{}/{}", room, event_type, txn or next_txn(), body=content)["event_id"]

    def set_state(self, room, event_type, content, state_key=""):
        return self.put("/rooms/{}/state/{}/{}", room, event_type, state_key, body=content)["event_id"]

    def state(self, room, event_type, state_key=""):
        return self.get("/rooms/{}/state/{}/{}", room, event_type, state_key)

    def all_state(self, room):
        """The current state as {(type, state key): event}."""
        return {(event["type"], event["state_key"]): event for event in self.get("/rooms/{}/state", room)}

    def redact(self, room, event_id, txn=None, **body):
        return self.put("/rooms/{}/redact/{}/{}", room, event_id, txn or next_txn(), body=body)["event_id"]

    def event(self, room, event_id):
        return self.get("/rooms/{}/event/{}", room, event_id)

    def messages(self, room, **query):
        return self.get("/rooms/{}/messages", room, query={"dir": "b", **query})

    def history(self, room, **query):
        """All events of a room that this user may see, oldest first."""
        events, start = [], None
        while True:
            page = self.messages(room, dir="f", limit=100, **{**query, **({"from": start} if start else {})})
            events += page["chunk"]
            if "end" not in page:
                return events
            start = page["end"]

    def receipt(self, room, event_id, kind="m.read", **body):
        return self.post("/rooms/{}/receipt/{}/{}", room, kind, event_id, body=body)

    def account_data(self, event_type, content):
        return self.put("/user/{}/account_data/{}", self.user_id, event_type, body=content)

    # Sync

    def sync(self, since=None, timeout=0, filter=None, **query):
        return self.get("/sync", query={"since": since, "timeout": timeout, "filter": filter, **query}, timeout=timeout / 1000 + 60)

    def sync_until(self, condition, since=None, seconds=POLL_SECONDS, **options):
        """Long-polls from `since` until `condition(answer)` is true of one answer; returns that answer."""
        deadline = time.monotonic() + seconds
        answer = None
        while (left := deadline - time.monotonic()) > 0:
            answer = self.sync(since, timeout=int(left * 1000) if since else 0, **options)
            if condition(answer):
                return answer
            since = answer["next_batch"]
        raise AssertionError(f"{self!r}: not seen within {seconds} s; the last answer was {answer}")

    @contextmanager
    def parked(self, since=None, seconds=POLL_SECONDS, **options):
        """A long poll that is under way while the block runs; gives a function that returns its answer.

        The short sleep lets the server park the poll. Should that take longer, the test still holds, but tests less.
        """
        with ThreadPoolExecutor(1) as thread:
            poll = thread.submit(self.sync, since or self.now(), int(seconds * 1000), **options)
            time.sleep(0.1)
            yield lambda: poll.result(seconds + POLL_SECONDS)

    def now(self):
        """A sync token of this moment."""
        return self.sync(filter={"room": {"timeline": {"limit": 1}}})["next_batch"]


def user_id_of(user):
    return user.user_id if isinstance(user, Client) else user


# What is in a sync answer


def joined(answer, room):
    """The room's part of a sync answer, {} if it has none."""
    return answer.get("rooms", {}).get("join", {}).get(room, {})


def invited(answer, room):
    return answer.get("rooms", {}).get("invite", {}).get(room, {})


def left(answer, room):
    return answer.get("rooms", {}).get("leave", {}).get(room, {})


def timeline(answer, room, section=joined):
    return section(answer, room).get("timeline", {}).get("events", [])


def state_of(answer, room, section=joined, key="state"):
    """The state block of a room as {(type, state key): event}."""
    return {(event["type"], event["state_key"]): event for event in section(answer, room).get(key, {}).get("events", [])}


def ephemeral(answer, room, event_type):
    """The content of the ephemeral event of this type, None if there is none."""
    for event in joined(answer, room).get("ephemeral", {}).get("events", []):
        if event["type"] == event_type:
            return event["content"]
    return None


def account_data_of(part, event_type):
    """The content of this account data in a sync answer, or in a room's part of one; None if it is not there."""
    for event in part.get("account_data", {}).get("events", []):
        if event["type"] == event_type:
            return event["content"]
    return None


def ids(events):
    return [event["event_id"] for event in events]


def bodies(events):
    return [event["content"].get("body") for event in events if event["type"] == "m.room.message"]


def types(events):
    return [event["type"] for event in events]
