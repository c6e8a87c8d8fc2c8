"""The workloads. Each takes the world of one running server and returns figures by row; it makes what it needs."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from load import line
from support.client import Client

SETTING_UP = 4  # requests at a time while things are made that are not measured
ROOMS, ROOM_SIZE = 20, 3
CROWD = 50
LISTENERS, SENDS_A_SECOND = 40, 20
PAGE, PAGES = 50, 20
READERS = 4  # connections for scrollback and member lists
LATER_SYNCS = 5
POLLS_A_DEVICE = 8
PARK_SECONDS = 900
POLL_TIMEOUT_MS = 600000
TEXT = "A message of a length that people write now and then, neither short nor long."

V3 = "/_matrix/client/v3"


def filtered(value):
    return "filter=" + quote(json.dumps(value, separators=(",", ":")))


class World:
    """The users and rooms of one server, made when a phase first wants them."""

    def __init__(self, server, load, options):
        self.server = server
        self.load = load
        self.options = options
        self.users = []
        self._crowd = self._small_rooms = None
        self.numbers = itertools.count(1)

    def several(self, function, items):
        with ThreadPoolExecutor(SETTING_UP) as pool:
            return list(pool.map(function, items))

    def some_users(self, count):
        """The first `count` users; those that are missing are registered."""
        missing = range(len(self.users), count)
        self.users += self.several(lambda n: Client(self.server.transport).register(f"user{n}"), missing)
        return self.users[:count]

    def room_of(self, users):
        """A room that the first of these made and the others have joined."""
        room = users[0].create_room(preset="public_chat", name=f"Room {next(self.numbers)} of the benchmark")
        for user in users[1:]:
            user.join(room)
        return room

    @property
    def small_rooms(self):
        """[(room, its members)]"""
        if not self._small_rooms:
            users = self.some_users(ROOMS * ROOM_SIZE)
            groups = [users[n * ROOM_SIZE : (n + 1) * ROOM_SIZE] for n in range(ROOMS)]
            self._small_rooms = self.several(lambda group: (self.room_of(group), group), groups)
        return self._small_rooms

    @property
    def crowd(self):
        """(room, its members), a room of 50 people."""
        if not self._crowd:
            users = self.some_users(CROWD)
            self._crowd = (self.room_of(users), users)
        return self._crowd

    def sender(self, room, user, text=TEXT):
        """The request of this user's next messages to this room."""
        txn = f"bench{next(self.numbers)}"
        content = {"msgtype": "m.text", "body": text}
        return line("PUT", f"{V3}/rooms/{quote(room)}/send/m.room.message/{txn}.{{n}}", user.token, content)


def messages(world):
    """As many senders as there are connections, each a user of its own, spread over the rooms."""
    everyone = [(room, members[place]) for place in range(ROOM_SIZE) for room, members in world.small_rooms]
    figures = {}
    for count in (1, 8, 32):
        requests = [world.sender(room, user) for room, user in everyone[:count]]
        result = world.load.repeat(world.server, requests, connections=count, seconds=world.options.seconds, warm_up=1)
        figures[f"messages_{count}"] = result["answers"] / result["seconds"]
    return figures


def fan_out(world):
    room, members = world.crowd
    query = "timeout=30000&" + filtered({"room": {"timeline": {"limit": 50}}})
    requests = [line("GET", f"{V3}/sync?{query}", user.token) for user in members[:LISTENERS]]
    requests.append(world.sender(room, members[LISTENERS], f"bench-{{n}}- {TEXT}"))
    result = world.load.fan_out(world.server, requests, rate=SENDS_A_SECOND, seconds=world.options.seconds)
    return {"fan_out_p50": result["p50_ms"], "fan_out_p99": result["p99_ms"]}


def scrollback(world):
    """Pages of a room with enough messages, all different, over and over."""
    room, members = world.small_rooms[0]
    world.load.repeat(world.server, [world.sender(room, user) for user in members], connections=len(members), count=PAGE * PAGES)
    pages, token = [], ""
    while len(pages) < PAGES:
        target = f"/rooms/{quote(room)}/messages?dir=b&limit={PAGE}" + (f"&from={quote(token)}" if token else "")
        page = members[0].get(target)
        if len(page["chunk"]) < PAGE:
            break
        pages.append(line("GET", V3 + target, members[0].token))
        token = page["end"]
    result = world.load.repeat(world.server, pages, connections=READERS, seconds=world.options.seconds, warm_up=1)
    return {"scrollback": result["answers"] / result["seconds"]}


def members(world):
    room, people = world.crowd
    requests = [line("GET", f"{V3}/rooms/{quote(room)}/members", user.token) for user in people]
    result = world.load.repeat(world.server, requests, connections=READERS, seconds=world.options.seconds, warm_up=1)
    return {"members": result["answers"] / result["seconds"]}


def initial_sync(world):
    """Each sync is another device's, so that no answer can simply be kept. The first comes after a restart."""
    host, guest = world.some_users(2)

    def furnish(_):
        room = world.room_of([host, guest])
        host.say(room, TEXT, txn=f"room{next(world.numbers)}")

    world.several(furnish, range(world.options.rooms))
    devices = [guest.login() for _ in range(LATER_SYNCS + 1)]
    world.server.restart()
    requests = [line("GET", f"{V3}/sync?timeout=0", device.token) for device in devices]
    first = world.load.repeat(world.server, requests[:1], count=1, seconds=60)
    later = world.load.repeat(world.server, requests[1:], count=LATER_SYNCS, seconds=60)
    return {"initial_sync_first": first["p50_ms"], "initial_sync_later": later["p50_ms"], "initial_sync_bytes": first["bytes"]}


def rooms(world):
    body = {"preset": "private_chat", "name": "Room {n} of the benchmark", "topic": "Measuring"}
    requests = [line("POST", f"{V3}/createRoom", world.some_users(1)[0].token, body)]
    result = world.load.repeat(world.server, requests, seconds=world.options.seconds, warm_up=1)
    return {"rooms": result["answers"] / result["seconds"]}


def memory(world):
    pss, rss = world.server.memory()
    return {"memory_pss": pss, "memory_rss": rss}


def parked(world):
    """The parked users share no room with those whose requests are timed meanwhile."""
    room, people = world.small_rooms[0]
    others = world.some_users(ROOMS * ROOM_SIZE + -(-world.options.parked // POLLS_A_DEVICE))[ROOMS * ROOM_SIZE :]
    tokens = world.several(lambda user: (user.token, user.now()), others)
    polls = [
        line("GET", f"{V3}/sync?timeout={POLL_TIMEOUT_MS}&since={quote(since)}", token)
        for _ in range(POLLS_A_DEVICE)
        for token, since in tokens
    ][: world.options.parked]
    page = line("GET", f"{V3}/rooms/{quote(room)}/messages?dir=b&limit=10", people[0].token)

    def p50(request):
        return world.load.repeat(world.server, [request], seconds=world.options.seconds / 2, warm_up=1)["p50_ms"]

    world.server.wait_until_idle(60)
    figures = {"read_alone": p50(page), "send_alone": p50(world.sender(room, people[0]))}
    world.server.wait_until_idle(60)
    before, _ = world.server.memory()
    with world.load.park(world.server, polls, PARK_SECONDS):
        world.server.wait_until_idle(PARK_SECONDS / 2)
        after, _ = world.server.memory()
        figures["parked_bytes"] = (after - before) / len(polls)
        figures |= {"read_parked": p50(page), "send_parked": p50(world.sender(room, people[0]))}
    return figures


ALL = {
    "initial-sync": initial_sync,
    "messages": messages,
    "fan-out": fan_out,
    "scrollback": scrollback,
    "members": members,
    "rooms": rooms,
    "memory": memory,
    "parked": parked,
}
