"""A naive /sync: what a room's part of the answer must be, rebuilt from all events of the room."""

from dataclasses import dataclass, field


@dataclass
class Filter:
    """The filters that the histories use, as the server gets them and as the model applies them."""

    limit: int = 100
    types: tuple = None
    not_senders: tuple = ()
    lazy: bool = False
    state_after: bool = False
    # Synapse shows all events of the current state, leaves out of `state` what the timeline replaces, and takes what a timeline's filter
    # leaves out neither for a gap nor always for state.
    lenient: bool = False

    @property
    def filtered(self):
        return self.types is not None or bool(self.not_senders)

    def body(self):
        timeline = {"limit": self.limit}
        if self.types is not None:
            timeline["types"] = list(self.types)
        if self.not_senders:
            timeline["not_senders"] = list(self.not_senders)
        return {"room": {"timeline": timeline, "state": {"lazy_load_members": self.lazy}}}

    def takes(self, event):
        return (self.types is None or event["type"] in self.types) and event["sender"] not in self.not_senders


@dataclass
class Expected:
    """`section` is None where the room must not be in the answer (or only with ephemeral events and counts)."""

    section: str = None
    timeline: list = field(default_factory=list)  # event ids
    limited: bool = False
    state: dict = None  # {(type, state key): event id}; None: anything goes
    at_most: list = None  # newly joined: the timeline may be any end of this list that is long enough
    at_least: int = 0
    known: dict = field(default_factory=dict)  # what the client's state was, and what it has to be after this answer
    final: dict = None


def expected(room, user, since, chosen):
    """The answer for this user, of a sync from position `since` (None: a first sync) to the end of the room."""
    now = len(room)
    before = room.member_at(user, since) if since is not None else "leave"
    after = room.member_at(user, now)
    if after == "join":
        if before == "join" and not left_between(room, user, since, now):
            return of_joined(room, user, since, now, chosen)
        return of_newly_joined(room, user, now, chosen)
    if since is None and after == "invite":
        return Expected("invite")
    if since is None:
        return Expected("any" if chosen.lenient else None)  # Synapse shows rooms that one was kicked or banned from.
    changed = membership_changes(room, user, since, now)
    if not changed:
        return Expected()
    if after == "invite":
        return Expected("invite")
    if before == "join":
        return of_left(room, user, since, changed, chosen)
    was_there = before == "invite" or any(room.member_at(user, position + 1) in ("join", "invite") for position in changed)
    return Expected("any") if chosen.lenient and not was_there else Expected("leave", state=None)


def membership_changes(room, user, start, end):
    """Positions of the user's own member events in [start, end) that changed the membership."""
    return [
        position
        for position in range(start, end)
        if room.events[position]["type"] == "m.room.member"
        and room.events[position].get("state_key") == user
        and room.member_at(user, position) != room.member_at(user, position + 1)
    ]


def left_between(room, user, start, end):
    return any(room.member_at(user, position + 1) != "join" for position in membership_changes(room, user, start, end))


def of_joined(room, user, since, now, chosen):
    return page(room, user, since, now, chosen, room.state_ids_at(since))


def of_left(room, user, since, changed, chosen):
    """Ends at the first leave after which the user did not come back within the gap, and shows no more than that."""
    end = next(position for position in reversed(changed) if room.member_at(user, position) == "join") + 1
    if len(changed) > 1:
        return Expected("leave", state=None)  # Left, came back and left again: only that it is left is certain.
    return page(room, user, since, end, chosen, room.state_ids_at(since), "leave")


def positions_shown(room, user, start, end, chosen):
    """Positions in [start, end) of events that pass the filter and that the user may see."""
    current = set(room.state_ids_at(len(room)).values()) if chosen.lenient else set()
    return [
        position
        for position in range(start, end)
        if chosen.takes(room.events[position]) and (room.visible(user, position) or room.events[position]["event_id"] in current)
    ]


def page(room, user, since, end, chosen, known, section="join"):
    matching = positions_shown(room, user, since, end, chosen)
    shown = matching[-chosen.limit :]
    first = shown[0] if shown else end
    target = room.state_ids_at(end if chosen.state_after else first)
    state = {key: event_id for key, event_id in target.items() if known.get(key) != event_id}
    events = [room.events[position]["event_id"] for position in shown]
    if not events and not state and section == "join":
        return Expected()
    return Expected(section, events, len(shown) < len(matching), state, known=known, final=room.state_ids_at(end))


def of_newly_joined(room, user, now, chosen):
    """Full state. How far the timeline goes back is up to the server, but it holds all since the join that the limit allows."""
    matching = positions_shown(room, user, 0, now, chosen)
    joined = membership_changes(room, user, 0, now)[-1]
    since_join = [position for position in matching if position >= joined]
    ids = [room.events[position]["event_id"] for position in matching[-chosen.limit :]]
    return Expected("join", ids, None, None, at_most=ids, at_least=min(chosen.limit, len(since_join)))


def check(answer, room, user, since, chosen):
    """Compares a room's part of a sync answer with the model; raises AssertionError with the difference."""
    want = expected(room, user, since, chosen)
    rooms = answer.get("rooms", {})
    sections = {name: rooms[name][room.room_id] for name in ("join", "invite", "leave") if room.room_id in rooms.get(name, {})}
    if want.section == "invite" and "invite" in sections:
        sections.pop("leave", None)  # Whether a leave shows as well that an invite followed is up to the server.
    assert len(sections) <= 1, f"in several sections: {list(sections)}"
    if want.section == "any":
        return
    if want.section is None:
        part = sections.get("join", {})
        assert not set(sections) - {"join"}, f"unexpected: {list(sections)}"
        assert not part.get("timeline", {}).get("events"), "a timeline out of nothing"
        return
    if chosen.lenient and chosen.filtered and not sections and not want.timeline:
        return
    assert list(sections) == [want.section], f"expected in {want.section}, found in {list(sections)}"
    if want.section == "invite":
        check_invite(sections["invite"], user)
        return
    part = sections[want.section]
    if want.at_most is not None:
        check_newly_joined(part, room, want, chosen)
    elif want.state is not None:
        check_exactly(part, room, want, chosen)
    check_contents(part.get("timeline", {}).get("events", []), room)


def check_invite(part, user):
    events = {(event["type"], event["state_key"]): event for event in part["invite_state"]["events"]}
    assert events["m.room.member", user]["content"]["membership"] == "invite"
    assert ("m.room.create", "") in events


def state_block(part, chosen):
    for name in ("state_after", "org.matrix.msc4222.state_after") if chosen.state_after else ("state",):
        if name in part:
            return {(event["type"], event["state_key"]): event["event_id"] for event in part[name]["events"]}
    assert not chosen.state_after, "state_after must be there when asked for"
    return {}


def without_members(state):
    return {key: event_id for key, event_id in state.items() if key[0] != "m.room.member"}


def check_exactly(part, room, want, chosen):
    timeline = [event["event_id"] for event in part.get("timeline", {}).get("events", [])]
    assert timeline == want.timeline, f"timeline: {names(room, timeline)}, expected {names(room, want.timeline)}"
    if chosen.lenient and chosen.filtered:
        return
    limited = part.get("timeline", {}).get("limited", False)
    assert limited == want.limited, f"limited: {limited}"
    found, wanted = state_block(part, chosen), want.state
    if chosen.lazy:
        found_members = {key: event_id for key, event_id in found.items() if key[0] == "m.room.member"}
        if want.limited and not chosen.lenient:
            missing = {key: event_id for key, event_id in wanted.items() if key[0] == "m.room.member" and key not in found_members}
            assert not missing, f"members that changed in the gap are missing: {missing}"
        found, wanted = without_members(found), without_members(wanted)
    if (chosen.filtered or chosen.lenient) and leads_to(want.final, {**want.known, **found}, timeline, room, chosen):
        return
    assert found == wanted, f"state: {names(room, found.values())}, expected {names(room, wanted.values())}"


def leads_to(final, state, timeline, room, chosen):
    """Whether the timeline on top of the state is the final state: a server may add to `state` what the timeline's filter left out."""
    for event_id in timeline:
        event = room.events[room.index[event_id]]
        if "state_key" in event:
            state = {**state, (event["type"], event["state_key"]): event_id}
    if chosen.lazy:
        state, final = without_members(state), without_members(final)
    return state == final


def check_newly_joined(part, room, want, chosen):
    timeline = [event["event_id"] for event in part["timeline"]["events"]]
    assert timeline == want.at_most[len(want.at_most) - len(timeline) :], f"timeline: {names(room, timeline)} is no end of {names(room, want.at_most)}"
    assert want.at_least <= len(timeline) <= chosen.limit, f"timeline: {len(timeline)} events, at least {want.at_least} expected"
    first = room.index[timeline[0]] if timeline else len(room)
    wanted = room.state_ids_at(len(room) if chosen.state_after else first)
    found = state_block(part, chosen)
    if chosen.lazy:
        found, wanted = without_members(found), without_members(wanted)
    if chosen.filtered and chosen.lenient:
        return
    if (chosen.filtered or chosen.lenient) and leads_to(room.state_ids_at(len(room)), found, timeline, room, chosen):
        return
    assert found == wanted, f"full state: {names(room, found.values())}, expected {names(room, wanted.values())}"


def check_contents(events, room):
    for event in events:
        original = room.events[room.index[event["event_id"]]]
        if room.redacted(original):
            assert "redacted_because" in event["unsigned"], f"{event['event_id']} is shown as it was before it was redacted"
        else:
            assert event["content"] == original["content"]
        assert (event["type"], event["sender"], event.get("state_key")) == (original["type"], original["sender"], original.get("state_key"))


def names(room, event_ids):
    """Events in words, for messages of failures."""
    described = []
    for event_id in event_ids:
        event = room.events[room.index[event_id]] if event_id in room.index else {"type": "unknown", "sender": event_id}
        described.append(f"{room.index.get(event_id)}:{event['type']}{'/' + event['state_key'] if 'state_key' in event else ''} by {event['sender'].split(':')[0]}")
    return described


class View:
    """What a client believes that has folded all sync answers so far: its state of a room must be the true one."""

    def __init__(self):
        self.state = {}

    def fold(self, answer, room_id):
        part = answer.get("rooms", {}).get("join", {}).get(room_id)
        if part is None:
            return
        after = part.get("state_after", part.get("org.matrix.msc4222.state_after"))
        events = after["events"] if after is not None else part.get("state", {}).get("events", []) + part.get("timeline", {}).get("events", [])
        for event in events:
            if "state_key" in event:
                self.state[event["type"], event["state_key"]] = event["event_id"]
