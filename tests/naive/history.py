"""Random histories of a room, played on the server by a few users. Each step is logged, so that a failure can be read."""

import time

from support.client import unique
from support.http import Refused
from support.remote import make_event, remote_user

from naive.counts_model import MAIN, Reader, thread_of
from naive.room import Room, relation_of


class History:
    """A room of ana, who made it, never leaves and so witnesses everything, and of users who come and go."""

    def __init__(self, rng, new_user, preset="public_chat", version="12", entrance=None):
        """With an entrance, a user of another server is there too, whose events come late now and then."""
        self.rng = rng
        self.version = version
        self.entrance = entrance
        self.remote = remote_user(unique("remote"))
        self.ana = new_user("ana")
        self.users = [new_user(name) for name in ("bob", "carol", "dora")]
        self.log = []
        levels = {self.users[2].user_id: 50, self.remote: 60, **({} if version == "12" else {self.ana.user_id: 100})}
        room_id = self.ana.create_room(preset=preset, room_version=version, power_level_content_override={"users": levels})
        self.room = Room(room_id, [])
        self.witnessed = None
        self.texts = 0
        for user in self.users[1:]:
            user.join(room_id)
        self.witness()
        if entrance:
            self.receive("m.room.member", {"membership": "join"}, len(self.room), state_key=self.remote)

    def everybody(self):
        return [self.ana, *self.users]

    def witness(self):
        """Learns of the events since the last time."""
        while True:
            query = {"dir": "f", "limit": 100, **({"from": self.witnessed} if self.witnessed else {})}
            page = self.ana.messages(self.room.room_id, **query)
            self.room.extend(page["chunk"])
            if "end" not in page or page["end"] == self.witnessed:
                break
            self.witnessed = page["end"]
            if not page["chunk"]:
                break
        return self.room

    def member(self, *memberships):
        """Somebody with one of these memberships, None if there is nobody."""
        found = [user for user in self.everybody() if self.room.member_at(user.user_id, len(self.room)) in memberships]
        return self.rng.choice(found) if found else None

    def some_event(self, *event_types):
        """A recent event of these types, None if there is none."""
        found = [event for event in self.room.events[-20:] if event["type"] in event_types and not self.room.redacted(event)]
        return self.rng.choice(found) if found else None

    def step(self, *kinds):
        """One random step of these kinds. What the server refuses did not happen."""
        kind = self.rng.choice(kinds)
        try:
            done = getattr(self, kind)()
        except Refused as error:
            done = f"refused: {error.errcode}"
        self.log.append(f"{len(self.room)}: {kind}: {done}")
        self.witness()

    def receive(self, event_type, content, base, **more):
        """An event of the other server, made when the room had its first `base` events; returns the verdict and its ID."""
        state = self.room.state_ids_at(base)
        last = self.room.events[base - 1]["event_id"]
        event_id, event = make_event(self.room.room_id, self.version, state, [last], self.remote, event_type, content, **more)
        verdict, found = self.entrance.receive(self.room.room_id, event)
        assert found == event_id, (verdict, found)
        if base < len(self.room):
            self.room.bases[event_id] = base
        self.witness()
        if base < len(self.room) - 1:  # Of two events of one millisecond either may stand: what was resolved is the server's to say.
            self.room.states[-1] = self.ana.all_state(self.room.room_id)
        return verdict, event_id

    def text(self):
        self.texts += 1
        return f"text {self.texts}"

    def send(self, user, content, event_type="m.room.message"):
        user.send_event(self.room.room_id, event_type, content)
        return f"{user.localpart} sends {event_type} {content}"

    # Steps: events

    def message(self):
        return self.send(self.member("join"), {"msgtype": "m.text", "body": self.text()})

    def notice(self):
        return self.send(self.member("join"), {"msgtype": "m.notice", "body": self.text()})

    def encrypted(self):
        return self.send(self.member("join"), {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": self.text()}, "m.room.encrypted")

    def mention(self):
        target = self.rng.choice(self.everybody())
        return self.send(self.member("join"), {"msgtype": "m.text", "body": self.text(), "m.mentions": {"user_ids": [target.user_id]}})

    def room_mention(self):
        return self.send(self.member("join"), {"msgtype": "m.text", "body": self.text(), "m.mentions": {"room": True}})

    def keyword(self):
        body = self.rng.choice(["cake for all", "no CAKE", "pancakes", "cheesecake?", "a cake"])
        return self.send(self.member("join"), {"msgtype": "m.text", "body": body})

    def thread_reply(self):
        root = self.some_event("m.room.message", "m.room.encrypted")
        if root is None or relation_of(root):
            return self.message()
        relation = {"rel_type": "m.thread", "event_id": root["event_id"]}
        content = {"msgtype": "m.text", "body": self.text(), "m.relates_to": relation}
        if self.rng.random() < 0.3:
            content["m.mentions"] = {"user_ids": [self.rng.choice(self.everybody()).user_id]}
        return self.send(self.member("join"), content)

    def edit(self):
        original = self.some_event("m.room.message")
        if original is None:
            return "nothing to edit"
        author = next((user for user in self.everybody() if user.user_id == original["sender"]), self.ana)  # of the other server's, none counts
        relation = {"rel_type": "m.replace", "event_id": original["event_id"]}
        new = {"msgtype": "m.text", "body": self.text()}
        return self.send(author, {**new, "m.new_content": new, "m.relates_to": relation})

    def reaction(self):
        target = self.some_event("m.room.message", "m.room.encrypted")
        if target is None:
            return "nothing to react to"
        relation = {"rel_type": "m.annotation", "event_id": target["event_id"], "key": unique("key")}
        return self.send(self.member("join"), {"m.relates_to": relation}, "m.reaction")

    def redaction(self):
        target = self.some_event("m.room.message", "m.room.encrypted", "m.reaction")
        if target is None:
            return "nothing to redact"
        self.ana.redact(self.room.room_id, target["event_id"])
        return f"ana redacts {self.room.index[target['event_id']]}"

    def topic(self):
        return self.set_state("m.room.topic", {"topic": self.text()})

    def room_name(self):
        return self.set_state("m.room.name", {"name": self.text()})

    def custom_state(self):
        return self.set_state("org.example.state", {"x": self.text()}, self.rng.choice("abc"))

    def visibility(self):
        setting = self.rng.choice(["world_readable", "shared", "invited", "joined"])
        return self.set_state("m.room.history_visibility", {"history_visibility": setting})

    def set_state(self, event_type, content, state_key=""):
        user = self.rng.choice([self.ana, self.users[2]])
        user.set_state(self.room.room_id, event_type, content, state_key)
        return f"{user.localpart} sets {event_type}/{state_key} {content}"

    def new_displayname(self):
        user = self.member("join")
        user.set_state(self.room.room_id, "m.room.member", {"membership": "join", "displayname": self.text()}, user.user_id)
        return f"{user.localpart} has a new name"

    # Steps: the other server's

    def some_base(self, settled):
        """How many of the room's events the other server has seen: after the last of them its own is to come. Settled: since when nobody came or went."""
        first = self.room.index[self.room.state_at(len(self.room))["m.room.member", self.remote]["event_id"]] + 1
        if settled:
            first = 1 + max(position for position, event in enumerate(self.room.events) if event["type"] == "m.room.member")
        base = self.rng.randrange(max(first, len(self.room) - 8), len(self.room) + 1)
        while self.room.events[base - 1]["event_id"] in self.room.bases:
            base -= 1
        return base

    def late_message(self):
        if not self.entrance:
            return None
        base = self.some_base(settled=True)
        verdict, _ = self.receive("m.room.message", {"msgtype": "m.text", "body": self.text()}, base)
        assert verdict == "accepted", verdict
        return f"{self.remote} sends a message on {base} events"

    def late_state(self):
        """From here on the room's state is what was resolved, which this model does not know."""
        base = self.some_base(settled=False)
        event_type, state_key, content = self.rng.choice(
            [
                ("m.room.topic", "", {"topic": self.text()}),
                ("org.example.state", self.rng.choice("abc"), {"x": self.text()}),
                ("m.room.member", self.rng.choice(self.users).user_id, {"membership": "leave"}),
                ("m.room.member", self.remote, {"membership": "join", "displayname": self.text()}),
            ]
        )
        since = self.rng.choice([-2000, 0, 2000])
        verdict, _ = self.receive(event_type, content, base, state_key=state_key, ts=int(time.time() * 1000) + since)
        return f"{self.remote} sets {event_type}/{state_key} {content} on {base} events: {verdict}"

    # Steps: memberships

    def guest(self, *memberships):
        found = [user for user in self.users if self.room.member_at(user.user_id, len(self.room)) in memberships]
        return self.rng.choice(found) if found else None

    def join(self):
        user = self.guest("leave", "invite")
        return user and user.join(self.room.room_id) and f"{user.localpart} joins"

    def leave(self):
        user = self.guest("join", "invite")
        return user and [user.leave(self.room.room_id)] and f"{user.localpart} leaves"

    def invite(self):
        user = self.guest("leave")
        return user and [self.ana.invite(self.room.room_id, user)] and f"ana invites {user.localpart}"

    def kick(self):
        user = self.guest("join", "invite")
        return user and [self.ana.kick(self.room.room_id, user)] and f"ana kicks {user.localpart}"

    def ban(self):
        user = self.guest("join", "invite", "leave")
        return user and [self.ana.ban(self.room.room_id, user)] and f"ana bans {user.localpart}"

    def unban(self):
        user = self.guest("ban")
        return user and [self.ana.unban(self.room.room_id, user)] and f"ana unbans {user.localpart}"

    def leave_and_rejoin(self):
        user = self.guest("join")
        if user is None:
            return None
        user.leave(self.room.room_id)
        for _ in range(self.rng.randrange(3)):
            self.send(self.ana, {"msgtype": "m.text", "body": self.text()})
        user.join(self.room.room_id)
        return f"{user.localpart} leaves and joins again"


EVENTS = ["message", "message", "message", "topic", "room_name", "custom_state", "new_displayname", "redaction", "thread_reply", "reaction", "edit"]
MEMBERSHIPS = ["join", "join", "leave", "invite", "kick", "ban", "unban", "unban", "leave_and_rejoin"]
LATE = [*EVENTS, "late_message", "late_message"]
COUNTED = ["message", "message", "notice", "encrypted", "mention", "room_mention", "keyword", "thread_reply", "thread_reply", "edit", "reaction", "redaction", "topic"]


class Badges:
    """A reader of a history: sends receipts, changes rules and ignores people, and tells the model."""

    def __init__(self, history, user, sending_reads=True):
        self.history = history
        self.user = user
        self.reader = Reader(user.user_id, sending_reads=sending_reads)
        self.refresh()

    @property
    def here(self):
        return self.history.room.member_at(self.user.user_id, len(self.history.room)) == "join"

    def refresh(self):
        self.reader.rules = self.user.get("/pushrules/")["global"]

    def step(self, *kinds):
        kind = self.history.rng.choice(kinds)
        try:
            done = getattr(self, kind)() if self.here or kind != "read" else "not here"
        except Refused as error:  # Of an event whose relation was redacted, servers may say that it is in no thread.
            done = f"refused: {error.errcode}"
        self.history.log.append(f"{len(self.history.room)}: {self.user.localpart} {kind}: {done}")
        self.refresh()

    def read(self):
        """A receipt of any kind, at any event that the user may see, threaded or not."""
        room, rng = self.history.room, self.history.rng
        seen = [position for position in range(len(room)) if room.visible(self.user.user_id, position)][-12:]
        position = rng.choice(seen)
        event = room.events[position]
        thread = rng.choice([None, thread_of(room, event)])
        if thread == MAIN and relation_of(event).get("rel_type") == "m.thread":
            thread = None
        body = {} if thread is None else {"thread_id": thread}
        kind = rng.choice(["m.read", "m.read.private"])
        self.user.receipt(room.room_id, event["event_id"], kind, **body)
        self.reader.receipt(position, thread)
        return f"{kind} at {position}, thread {thread}"

    def mute(self):
        self.user.put("/pushrules/global/room/{}", self.history.room.room_id, body={"actions": self.history.rng.choice([[], ["notify"]])})
        return "a rule for the room"

    def unmute(self):
        self.user.send("DELETE", "/pushrules/global/room/{}", self.history.room.room_id)
        return "no rule for the room"

    def switch(self):
        kind, rule_id = self.history.rng.choice(
            [("override", ".m.rule.master"), ("underride", ".m.rule.message"), ("underride", ".m.rule.room_one_to_one"), ("override", ".m.rule.suppress_notices"), ("override", ".m.rule.is_user_mention")]
        )
        enabled = self.history.rng.random() < (0.2 if rule_id == ".m.rule.master" else 0.5)
        self.user.put("/pushrules/global/{}/{}/enabled", kind, rule_id, body={"enabled": enabled})
        return f"{rule_id} {'on' if enabled else 'off'}"

    def keyword(self):
        self.user.put("/pushrules/global/content/cake", body={"pattern": "cake", "actions": ["notify", {"set_tweak": "highlight"}]})
        return "cake is a keyword"

    def ignore(self):
        target = self.history.rng.choice([None, *self.history.everybody()])
        self.reader.ignored = {target.user_id} - {self.user.user_id} if target else set()
        self.user.account_data("m.ignored_user_list", {"ignored_users": {user: {} for user in self.reader.ignored}})
        return f"ignores {self.reader.ignored}"

