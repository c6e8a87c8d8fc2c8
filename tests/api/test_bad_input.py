"""Bad input at every endpoint: never an internal error, always a standard error with the right errcode, and nothing changed.

Each endpoint of the route table gets its valid request (support/valid_requests.py) spoiled in every way that its kind has.
"""

import copy
import json

import pytest

from support.client import MALFORMED, Client
from support.valid_requests import nameless, offered_endpoints

NOT_JSON = ("M_NOT_JSON",)
NOT_AN_OBJECT = ("M_BAD_JSON", "M_NOT_JSON")
# What any request may be refused with whose values are no good in some way that has no code of its own.
REFUSALS = {
    *MALFORMED,
    "M_NOT_JSON",
    "M_TOO_LARGE",
    "M_FORBIDDEN",
    "M_NOT_FOUND",
    "M_UNRECOGNIZED",
    "M_UNKNOWN",
    "M_UNKNOWN_TOKEN",
    "M_UNAUTHORIZED",
    "M_BAD_STATE",
    "M_USER_IN_USE",
    "M_INVALID_USERNAME",
    "M_WEAK_PASSWORD",
    "M_ROOM_IN_USE",
    "M_INVALID_ROOM_STATE",
    "M_UNSUPPORTED_ROOM_VERSION",
    "M_BAD_ALIAS",
    "M_DUPLICATE_ANNOTATION",
    "M_KEY_TOO_LARGE",
    "M_PROFILE_TOO_LARGE",
    "M_INVALID_SIGNATURE",
    "M_WRONG_ROOM_KEYS_VERSION",
    "M_CANNOT_OVERWRITE_MEDIA",
    "M_LIMIT_EXCEEDED",
}

BODIES_THAT_ARE_NOT_JSON = {
    "half an object": b'{"a": ',
    "text": b"nonsense",
    "two objects": b"{}{}",
    "a comma too many": b'{"a": 1,}',
    "bad UTF-8": b'{"a": "\xff\xfe"}',
    "bad UTF-8 in a key": b'{"\xc0\xaf": 1}',
    "a lone surrogate": b'{"a": "\xed\xa0\x80"}',
    "a control character": b'{"a": "\x01"}',
    "a number that is none": b'{"a": 1.}',
    "infinity": b'{"a": Infinity}',
    "nothing but zeros": b"\x00\x00\x00\x00",
}
BODIES_THAT_ARE_NO_OBJECT = {"an array": b"[]", "a string": b'"x"', "a number": b"1", "null": b"null", "true": b"true"}
DEEP = {"deep arrays": b"[" * 1000, "deep objects": b'{"a":' * 1000 + b"1" + b"}" * 1000}

WRONG_VALUES = [
    None,
    True,
    1,
    -1,
    1.5,
    2**53,
    -(2**53),
    10**30,
    "",
    "x",
    "nul\0",
    "ünïcödé 👋 \u202e",
    "x" * 70000,
    [],
    {},
    [[]],
    [None],
    {"": ""},
    {"x": {"y": []}},
]

WRONG_PARAMETERS = ["x", "%FF", "%00", "%F0%9F%91%8B", "x" * 4000, "..", "%2E%2E%2F", "%2F", "-1", "null", "*", "%25"]
UNKNOWN_PARAMETERS = {
    "roomId": ["!unknown:hearth.test", "!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "!unknown:elsewhere.test"],
    "roomIdOrAlias": ["!unknown:hearth.test", "#unknown-alias:hearth.test"],
    "eventId": ["$unknown", "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "$unknown:hearth.test"],
    "userId": ["@nobody-of-that-name:hearth.test", "@somebody:elsewhere.test"],
}
QUERIES = {
    "/available": ("username",),
    "/validity": ("token",),
    "/keys/changes": ("from", "to"),
    "/room_keys/keys": ("version",),
    "/room_keys/keys/{roomId}": ("version",),
    "/room_keys/keys/{roomId}/{sessionId}": ("version",),
    "/threads": ("from", "limit", "include"),
    "/sync": ("since", "filter", "full_state", "set_presence", "use_state_after"),
    "/messages": ("from", "to", "dir", "limit", "filter"),
    "/context/{eventId}": ("limit", "filter"),
    "/members": ("at", "membership", "not_membership"),
    "/relations/{eventId}": ("from", "to", "dir", "limit", "recurse"),
    "/relations/{eventId}/{relType}": ("from", "to", "dir", "limit", "recurse"),
    "/relations/{eventId}/{relType}/{eventType}": ("from", "to", "dir", "limit", "recurse"),
    "/state/{eventType}/{stateKey}": ("format",),
    "/register": ("kind",),
    "/upload": ("filename",),
    "/pushrules/global/{kind}/{ruleId}": ("before", "after"),
    "/join/{roomIdOrAlias}": ("via", "server_name"),
    "/download/{serverName}/{mediaId}": ("timeout_ms", "allow_remote", "allow_redirect"),
}
WRONG_QUERY_VALUES = ["", "x", "-1", "999999999999999999999", "1.5", "\0", "x" * 4000, "{", "[]", "null", "ünïcode"]


def every(condition):
    """The test is for all endpoints that this is true of."""
    table = [(method, path) for method, path in offered_endpoints() if condition(method, path)]
    return pytest.mark.parametrize("method, path", table, ids=[f"{method} {path.removeprefix('/_matrix/client')}" for method, path in table])


def takes_a_body(method, path):
    return method in ("PUT", "POST") and not path.endswith(("/logout", "/logout/all")) and "/_matrix/media/" not in path


def takes_parameters(method, path):
    return "{" in path


def names_what_must_exist(method, path):
    """A backup holds keys of any room, known or not; account data and tags of a room that is left stay."""
    apart = ("/room_keys/", "/account_data/", "/tags")
    return any("{" + name + "}" in path for name in UNKNOWN_PARAMETERS) and not any(part in path for part in apart)


def takes_a_query(method, path):
    return path.endswith(tuple(QUERIES))


class Changes:
    """Sees whether anything changed that ana's client can see: the rest of the world by sync, accounts by asking."""

    def __init__(self, world):
        self.world = world
        self.before = self.look()

    def look(self):
        ana = self.world.ana
        answer = ana.sync(filter={"room": {"timeline": {"limit": 1}, "ephemeral": {"types": []}}})
        rooms = {room: part["timeline"]["events"][-1]["event_id"] for room, part in answer.get("rooms", {}).get("join", {}).items()}
        return {
            "rooms": rooms,
            "account data": answer.get("account_data", {}).get("events"),
            "one-time keys": answer.get("device_one_time_keys_count"),
            "profile": ana.send("GET", "/profile/{}", ana.user_id).text,
            "devices": sorted(device["device_id"] for device in ana.get("/devices")["devices"]),
            "rules": ana.get("/pushrules/"),
            "backup": ana.send("GET", "/room_keys/version").text,
        }

    def check(self, what):
        after = self.look()
        assert after == self.before, f"{what} was refused, and yet something changed"


def assert_refused(response, status, errcodes, what):
    __tracebackhide__ = True
    assert response.status_code in (status if isinstance(status, tuple) else (status,)), f"{what}: {response.status_code} {response.text[:300]}"
    body = response.json()
    assert body["errcode"] in errcodes and isinstance(body["error"], str), f"{what}: {response.text[:300]}"


def assert_no_failure(response, what):
    """Any answer will do but an internal error; an error must be in the standard form."""
    __tracebackhide__ = True
    assert response.status_code < 500, f"{what}: {response.status_code} {response.text[:300]}"
    if response.status_code >= 400:
        body = response.json()
        if response.status_code == 401 and "flows" in body:
            return
        assert body["errcode"] in REFUSALS and isinstance(body["error"], str), f"{what}: {response.status_code} {response.text[:300]}"


@every(takes_a_body)
@pytest.mark.synapse_differs("is more lenient, or has internal errors, in places", sometimes=True)
def test_a_body_that_is_no_json_object_is_refused(world, method, path):
    request = world.request(method, path)
    changes = Changes(world)
    for what, data in BODIES_THAT_ARE_NOT_JSON.items():
        assert_refused(request.send(world.ana, method, path, data=data), 400, NOT_JSON, what)
    for what, data in {**BODIES_THAT_ARE_NO_OBJECT, **DEEP}.items():
        assert_refused(request.send(world.ana, method, path, data=data), 400, NOT_AN_OBJECT, what)
    changes.check("a body that is no JSON object")


@every(takes_a_body)
@pytest.mark.synapse_differs("is more lenient, or has internal errors, in places", sometimes=True)
def test_a_missing_field_is_refused(world, method, path):
    request = world.request(method, path)
    changes = Changes(world)
    for name in request.required:
        body = {key: value for key, value in request.body.items() if key != name}
        assert_refused(request.send(world.ana, method, path, body=body), 400, MALFORMED, f"without {name}")
        for value in (None, [[]], 1.5 if not isinstance(request.body[name], (int, float)) else "x"):
            assert_refused(request.send(world.ana, method, path, body={**request.body, name: value}), 400, MALFORMED, f"{name}: {value!r}")
    changes.check("a missing field")


def spoiled(value):
    """Copies of a JSON value, each with one part of it exchanged for something wrong, as (description, copy)."""
    for place in places(value):
        for wrong in WRONG_VALUES:
            changed = copy.deepcopy(value)
            target = changed
            for step in place[:-1]:
                target = target[step]
            target[place[-1]] = wrong
            yield f"{'.'.join(map(str, place))} = {wrong!r:.60}", changed


def places(value, prefix=(), depth=3):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield prefix + (key,)
        if depth > 1:
            yield from places(part, prefix + (key,), depth - 1)


@every(takes_a_body)
@pytest.mark.synapse_differs("has internal errors in places", sometimes=True)
def test_wrong_values_in_the_body_cause_no_failure(world, method, path):
    request = world.request(method, path)
    valid = request.body or {}
    auth = {"auth": valid["auth"]} if "auth" in valid else {}
    for what, body in spoiled({key: value for key, value in valid.items() if key != "auth"}):
        assert_no_failure(request.send(world.ana, method, path, body={**body, **auth}), what)
    for wrong in WRONG_VALUES:
        assert_no_failure(request.send(world.ana, method, path, body={**valid, "auth": wrong}), f"auth = {wrong!r:.60}")


@every(takes_parameters)
@pytest.mark.synapse_differs("has internal errors in places", sometimes=True)
def test_wrong_parameters_in_the_path_cause_no_failure(world, method, path):
    request = world.request(method, path)
    for name in request.parameters:
        for wrong in WRONG_PARAMETERS:
            spoiled_path = request.path(path.replace("{" + name + "}", wrong))
            assert_no_failure(request.send(world.ana, method, path, path=spoiled_path), f"{name} = {wrong:.60}")


@every(names_what_must_exist)
@pytest.mark.synapse_differs("answers M_UNKNOWN in places, or takes what is not there", sometimes=True)
def test_unknown_rooms_events_and_users_are_refused(world, method, path):
    request = world.request(method, path)
    changes = Changes(world)
    for name in UNKNOWN_PARAMETERS.keys() & request.parameters.keys():
        for unknown in UNKNOWN_PARAMETERS[name]:
            if name == "userId" and "/profile/" in path and "elsewhere" in unknown:
                continue  # A profile may be asked for of any server.
            if name == "eventId" and ("/redact/" in path or "/receipt/" in path):
                continue  # What they name may yet arrive from another server.
            response = request.send(world.ana, method, path, path=request.path(path, **{name: unknown}))
            errcodes = ("M_FORBIDDEN", "M_NOT_FOUND", *(("M_UNKNOWN",) if path.endswith("/forget") else ()))
            assert_refused(response, (400, 403, 404), errcodes, f"{name} = {unknown}")
    changes.check("an unknown room, event or user")


@every(takes_a_query)
@pytest.mark.synapse_differs("has internal errors in places", sometimes=True)
def test_wrong_query_parameters_cause_no_failure(world, method, path):
    request = world.request(method, path)
    names = next(names for end, names in QUERIES.items() if path.endswith(end))
    for name in sorted({*request.query, *names}):
        for wrong in WRONG_QUERY_VALUES:
            response = request.send(world.ana, method, path, query={**request.query, name: wrong})
            assert_no_failure(response, f"{name} = {wrong!r:.60}")


@pytest.mark.hearth_only("reads Hearth's own route table")
def test_routes_beside_the_specification_cause_no_failure(server, ana):
    """Those without a valid request above: whatever is thrown at them."""
    specified = {(method, nameless(path)) for method, path in offered_endpoints()}
    bodies = [*BODIES_THAT_ARE_NOT_JSON.values(), *BODIES_THAT_ARE_NO_OBJECT.values(), *DEEP.values(), b"{}", b""]
    for method, path, *_ in server.routes():
        if (method, nameless(path)) in specified or method in ("OPTIONS", "HEAD"):
            continue
        for data in bodies if method in ("PUT", "POST") else (None,):
            for parameter in WRONG_PARAMETERS:
                response = ana.transport.send(method, nameless(path).replace("{}", parameter), data=data, token=ana.token)
                assert_no_failure(response, f"{method} {path}, {parameter:.60}, {data!r:.60}")
                if "{" not in path:
                    break


@every(takes_a_body)
@pytest.mark.hearth_only("Synapse reads the body first")
def test_an_oversized_body_is_refused_by_its_headers(server, world, method, path):
    request = world.request(method, path)
    head = (
        f"{method} {request.path(path)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.ana.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n"
    )
    changes = Changes(world)
    status, _, body = server.transport.raw(head.encode())
    assert (status, json.loads(body)["errcode"]) == (413, "M_TOO_LARGE")
    changes.check("an oversized body")


# HTTP itself


RAW = {
    "nonsense": b"nonsense\r\n\r\n",
    "an unknown method": b"BREW /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an endless path": b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an endless header": b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200000 + b"\r\nConnection: close\r\n\r\n",
    "many headers": b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20000 + b"Connection: close\r\n\r\n",
    "a negative length": b"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\nConnection: close\r\n\r\n",
    "two lengths": b"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{}",
    "a length and chunks": b"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
    "a chunk that is none": b"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
    "bytes beyond ASCII in the path": b"GET /_matrix/client/\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
}


@pytest.mark.parametrize("what", RAW)
def test_requests_that_are_hardly_http_cause_no_failure(server, nobody: Client, what):
    answer = server.transport.raw(RAW[what])
    assert answer is None or answer[0] < 500 or answer[0] in (501, 505), answer
    assert nobody.get("/_matrix/client/versions")["versions"]


@pytest.mark.synapse_differs("500")
def test_a_header_of_a_strange_token_causes_no_failure(nobody: Client):
    for token in ("\xff", "x" * 5000, "a b", "'; DROP TABLE users; --", "\\", "%00"):
        response = nobody.send("GET", "/account/whoami", headers={"Authorization": b"Bearer " + token.encode("latin-1")})
        assert response.status_code in (400, 401, 431), response.text


@pytest.mark.hearth_only("Synapse keeps the last one")
def test_a_repeated_key_in_an_event_is_refused_or_the_last_one_counts(ana, room):
    response = ana.send("PUT", "/rooms/{}/send/org.example.x/{}", room, "t1", data=b'{"a": 1, "a": 2}')
    assert response.status_code in (200, 400)
    if response.status_code == 200:
        assert ana.event(room, response.json()["event_id"])["content"] == {"a": 2}
