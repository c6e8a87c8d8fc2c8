"""Another server's side of a room: events made as it would make them, and the entrance through which they come in.

Hearth takes them for signed: `hearth-receive`, which is built beside `hearth`, hands them to the room as if their signatures had been
checked. What is made here is described in rooms/vN.md ("Event format", "Redactions") and in the server-server API ("Signing Events").
"""

import base64
import hashlib
import subprocess
import time

from support.keys import canonical

REMOTE = "remote.example"
START_SECONDS = 90
REDACTED_KEEPS = {"type", "room_id", "sender", "state_key", "content", "hashes", "depth", "prev_events", "auth_events", "origin_server_ts"}
POWER_LEVELS = ("ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default")


def remote_user(name):
    return f"@{name}:{REMOTE}"


# Events


def kept_content(version, event):
    """What redaction leaves of the content of an event that is made here."""
    keeps = {
        "m.room.member": ("membership", *(("join_authorised_via_users_server",) if version >= 9 else ())),
        "m.room.join_rules": ("join_rule", *(("allow",) if version >= 8 else ())),
        "m.room.power_levels": (*POWER_LEVELS, *(("invite",) if version >= 11 else ())),
        "m.room.history_visibility": ("history_visibility",),
        "m.room.redaction": ("redacts",) if version >= 11 else (),
    }.get(event["type"], ())
    return {key: value for key, value in event["content"].items() if key in keeps}


def unpadded_sha256(value, encode=base64.b64encode):
    return encode(hashlib.sha256(canonical(value)).digest()).decode().rstrip("=")


def event_id_of(version, event):
    """The reference hash, from room version 4 on."""
    redacted = {key: value for key, value in event.items() if key in REDACTED_KEEPS}
    redacted["content"] = kept_content(version, event)
    return "$" + unpadded_sha256(redacted, base64.urlsafe_b64encode)


def auth_keys(version, event):
    """The state that an event's auth events are chosen from (server-server API, "Auth events selection")."""
    keys = [("m.room.power_levels", ""), ("m.room.member", event["sender"])]
    if version < 12:
        keys.append(("m.room.create", ""))
    if event["type"] == "m.room.member":
        keys.append(("m.room.member", event["state_key"]))
        if event["content"].get("membership") in ("join", "invite", "knock"):
            keys.append(("m.room.join_rules", ""))
    return list(dict.fromkeys(keys))


def make_event(room_id, version, state, prev_events, sender, event_type, content, state_key=None, ts=None, depth=100, **more):
    """(event ID, event) by a remote user, on `prev_events`, after which the state is {(type, state key): event ID}."""
    event = {
        "room_id": room_id,
        "sender": sender,
        "type": event_type,
        "content": content,
        "prev_events": list(prev_events),
        "depth": depth,
        "origin_server_ts": int(time.time() * 1000) if ts is None else ts,
        **({} if state_key is None else {"state_key": state_key}),
    }
    event["auth_events"] = [state[key] for key in auth_keys(int(version), event) if key in state]
    event.update(more)
    event["hashes"] = {"sha256": unpadded_sha256(event)}
    event_id = event_id_of(int(version), event)
    signature = base64.b64encode(hashlib.sha512(event_id.encode()).digest()).decode().rstrip("=")
    return event_id, {**event, "signatures": {REMOTE: {"ed25519:1": signature}}}


# The entrance


class Entrance:
    """A process of the deployment that takes remote events. Its errors are the deployment's."""

    def __init__(self, program, config, environment):
        self.errors = config.parent / "receive.log"
        with self.errors.open("ab") as errors:
            self.child = subprocess.Popen(
                [str(program), str(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=config.parent,
                text=True,
                bufsize=1,
            )

    def receive(self, room_id, event):
        """(verdict, event ID) or (errcode, words)."""
        text = event if isinstance(event, str) else canonical(event).decode()
        self.child.stdin.write(f"{room_id}\t{text}\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        assert answer, f"the entrance has ended, status {self.child.poll()}: {self.errors.read_text()}"
        verdict, more = answer.rstrip("\n").split("\t", 1)
        return verdict, more

    def close(self):
        """What was wrong, [] when all is well."""
        self.child.stdin.close()
        status = self.child.wait(START_SECONDS)
        self.child.stdout.close()
        errors = self.errors.read_text()
        return [f"hearth-receive ended with status {status}: {errors}"] if status or '"level":"error"' in errors or "Sanitizer" in errors else []
