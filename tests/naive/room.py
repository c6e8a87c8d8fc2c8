"""A room as the list of all its events, and the specification's rules computed from that list in the plainest way.

Nothing here is clever: the state before each event is kept as it is. Positions are indexes into the list; "at n" means before event n.
"""

from dataclasses import dataclass

OPEN_SETTINGS = ("world_readable", "shared", "invited", "joined")


@dataclass
class Room:
    """All events in the order of the server, as a witness sees them who was there from the beginning."""

    room_id: str
    events: list

    def __post_init__(self):
        events, self.events = self.events, []
        self.index = {}
        self.bases = {}
        self.states = [{}]
        self.targets = set()
        self.extend(events)

    def extend(self, events):
        for event in events:
            if event["event_id"] in self.index:
                continue
            self.index[event["event_id"]] = len(self.events)
            self.events.append(event)
            changed = {(event["type"], event["state_key"]): event} if "state_key" in event else {}
            self.states.append({**self.states[-1], **changed})
            if event["type"] == "m.room.redaction":
                self.targets.add(target_of(event))

    def base(self, position):
        """Where the event at this position is judged: another server's may have come late, on the state that there was before others."""
        return self.bases.get(self.events[position]["event_id"], position)

    def __len__(self):
        return len(self.events)

    # State

    def state_at(self, position):
        """{(type, state key): event} before the event at this position."""
        return self.states[position]

    def state_ids_at(self, position):
        return {key: event["event_id"] for key, event in self.state_at(position).items()}

    def member_at(self, user, position):
        """The membership of a user before the event at this position; "leave" if there was none."""
        event = self.state_at(position).get(("m.room.member", user))
        return event["content"]["membership"] if event else "leave"

    def joined_at(self, position):
        members = self.state_at(position)
        return [key for (kind, key), event in members.items() if kind == "m.room.member" and event["content"]["membership"] == "join"]

    def setting_at(self, position):
        event = self.state_at(position).get(("m.room.history_visibility", ""))
        setting = event["content"].get("history_visibility") if event else "shared"
        return setting if setting in OPEN_SETTINGS else "shared"

    # Redactions

    def redacted(self, event):
        """Whether a redaction of this event is in the room."""
        return event["event_id"] in self.targets

    # Visibility (Client-Server API, "Room History Visibility")

    def visible(self, user, position):
        """Whether the user may see the event at this position, judged by the state before it, or after it where that counts too.

        One's own leave or ban shows also to who was only invited, whatever the setting: so it is with other servers, and clients rely on it.
        """
        event = self.events[position]
        if is_state(event, "m.room.member", user) and self.member_at(user, position) in ("invite", "knock"):
            if self.member_at(user, position + 1) in ("leave", "ban"):
                return True
        base = self.base(position)
        settings = {self.setting_at(base)}
        if is_state(event, "m.room.history_visibility", ""):
            settings.add(self.setting_at(position + 1))
        memberships = {self.member_at(user, base)}
        if is_state(event, "m.room.member", user):
            memberships.add(self.member_at(user, position + 1))
        joined_later = any(self.member_at(user, later) == "join" for later in range(position + 1, len(self.events) + 1))
        return any(
            setting == "world_readable"
            or membership == "join"
            or (setting == "shared" and joined_later)
            or (setting == "invited" and membership == "invite")
            for setting in settings
            for membership in memberships
        )


def is_state(event, event_type, state_key):
    return event["type"] == event_type and event.get("state_key") == state_key


def target_of(redaction):
    return redaction.get("redacts") or redaction["content"].get("redacts")


def relation_of(event):
    relation = event["content"].get("m.relates_to")
    return relation if isinstance(relation, dict) else {}
