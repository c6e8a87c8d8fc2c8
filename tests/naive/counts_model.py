"""A naive badge counter: evaluates the user's push rules for every event after what the user has read.

The rules are those of "Push Notifications" (Client-Server API); what is read follows "Receipts" and "Threading". Today's rules apply to
all that is unread; sending an event reads its thread up to that event.
"""

import re
from dataclasses import dataclass, field

from naive.room import relation_of

MAIN = "main"
HOPS = 3


@dataclass
class Reader:
    """What a user has told the server: rules, receipts, ignored users."""

    user_id: str
    rules: dict = None  # "global" of GET /pushrules/
    receipts: dict = field(default_factory=dict)  # {thread or None: position}
    ignored: set = field(default_factory=set)
    sending_reads: bool = True

    def receipt(self, position, thread=None):
        self.receipts[thread] = max(position, self.receipts.get(thread, -1))


def thread_of(room, event):
    """The root of the thread that an event is in, MAIN if it is in none. Relations are followed for three hops."""
    for _ in range(HOPS):
        relation = relation_of(event)
        if relation.get("rel_type") == "m.thread":
            return relation["event_id"]
        parent = relation.get("event_id") if "rel_type" in relation else None
        if parent not in room.index:
            return MAIN
        event = room.events[room.index[parent]]
    relation = relation_of(event)
    return relation["event_id"] if relation.get("rel_type") == "m.thread" else MAIN


def read_up_to(room, reader, thread, threads):
    """The last position that the user has read in this thread, -1 for none."""
    joins = [
        position
        for position, event in enumerate(room.events)
        if event["type"] == "m.room.member"
        and event.get("state_key") == reader.user_id
        and room.member_at(reader.user_id, position) != "join"
        and room.member_at(reader.user_id, position + 1) == "join"
    ]
    own = [position for position, event in enumerate(room.events) if event["sender"] == reader.user_id and threads[position] == thread]
    marks = joins[-1:] + [reader.receipts.get(None, -1), reader.receipts.get(thread, -1)] + (own[-1:] if reader.sending_reads else [])
    return max(marks, default=-1)


def counts(room, reader):
    """{thread: (notifications, highlights)} of the threads that have any, MAIN always among them."""
    threads = [thread_of(room, event) for event in room.events]
    read = {thread: read_up_to(room, reader, thread, threads) for thread in {MAIN, *threads}}
    found = {MAIN: (0, 0)}
    for position, event in enumerate(room.events):
        thread = threads[position]
        if position <= read[thread] or event["sender"] == reader.user_id or event["sender"] in reader.ignored:
            continue
        if room.redacted(event) or not room.visible(reader.user_id, position):
            continue
        notify, highlight = evaluate(room, reader, position)
        notifications, highlights = found.get(thread, (0, 0))
        if notify:
            found[thread] = (notifications + 1, highlights + highlight)
    return found


# Push rules


def evaluate(room, reader, position):
    """(notify, highlight) of the first enabled rule that matches the event, by kind and then by order."""
    for kind in ("override", "content", "postcontent", "room", "sender", "underride"):
        for rule in reader.rules.get(kind, []):
            if rule["enabled"] and all(matches(condition, room, reader, position) for condition in conditions_of(kind, rule)):
                highlight = any(
                    isinstance(action, dict) and action.get("set_tweak") == "highlight" and action.get("value", True) for action in rule["actions"]
                )
                return "notify" in rule["actions"], highlight
    return False, False


def conditions_of(kind, rule):
    if kind == "content":
        return [{"kind": "event_match", "key": "content.body", "pattern": rule["pattern"]}]
    if kind == "room":
        return [{"kind": "event_match", "key": "room_id", "pattern": rule["rule_id"]}]
    if kind == "sender":
        return [{"kind": "event_match", "key": "sender", "pattern": rule["rule_id"]}]
    return rule.get("conditions", [])


def matches(condition, room, reader, position):
    event = room.events[position]
    position = room.base(position)
    kind = condition["kind"]
    if kind == "event_match":
        return event_match(condition, field_of(room, event, condition["key"]))
    if kind == "event_property_is":
        return same(field_of(room, event, condition["key"]), condition["value"])
    if kind == "event_property_contains":
        values = field_of(room, event, condition["key"])
        return isinstance(values, list) and any(same(value, condition["value"]) for value in values)
    if kind == "room_member_count":
        return member_count(condition["is"], len(room.joined_at(position)))
    if kind == "sender_notification_permission":
        return may_notify(room, event["sender"], condition["key"], position)
    if kind == "contains_display_name":
        name = room.state_at(position).get(("m.room.member", reader.user_id), {}).get("content", {}).get("displayname")
        return bool(name) and "m.mentions" not in event["content"] and word_match(name, event["content"].get("body"))
    return False  # An unknown condition never matches.


def same(one, other):
    return type(one) is type(other) and one == other


def field_of(room, event, key):
    """The value at a dotted path, in which a backslash keeps the dot after it."""
    value = {"room_id": room.room_id, **event}
    for step in re.split(r"(?<!\\)\.", key):
        step = re.sub(r"\\(.)", r"\1", step)
        if not isinstance(value, dict) or step not in value:
            return None
        value = value[step]
    return value


def event_match(condition, value):
    if not isinstance(value, str):
        return False
    if condition["key"] == "content.body":
        return word_match(condition["pattern"], value)
    return bool(re.fullmatch(glob(condition["pattern"]), value, re.IGNORECASE | re.DOTALL))


def word_match(pattern, text):
    """A pattern on the body matches at word boundaries."""
    return isinstance(text, str) and bool(re.search(rf"(^|\W){glob(pattern)}($|\W)", text, re.IGNORECASE | re.DOTALL))


def glob(pattern):
    return "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)


def member_count(condition, members):
    operator, number = re.fullmatch(r"(==|<=|>=|<|>|)(\d+)", condition).groups()
    number = int(number)
    return {"": members == number, "==": members == number, "<": members < number, ">": members > number, "<=": members <= number, ">=": members >= number}[operator]


def may_notify(room, sender, key, position):
    state = room.state_at(position)
    created = state["m.room.create", ""]
    if created["content"].get("room_version") == "12" and sender in [created["sender"], *created["content"].get("additional_creators", [])]:
        return True
    levels = state.get(("m.room.power_levels", ""), {"content": {}})["content"]
    level = levels.get("users", {}).get(sender, levels.get("users_default", 0))
    return level >= levels.get("notifications", {}).get(key, 50)
