"""The backup of room keys on the server."""

import pytest

from support.client import MALFORMED, refused

ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"
AUTH_DATA = {"public_key": "abcdefg", "signatures": {}}


def new_backup(user):
    return user.post("/room_keys/version", body={"algorithm": ALGORITHM, "auth_data": AUTH_DATA})["version"]


def key(index=0, forwarded=0, verified=False, data="x"):
    return {"first_message_index": index, "forwarded_count": forwarded, "is_verified": verified, "session_data": {"ciphertext": data}}


def put_key(user, version, room, session, body):
    return user.put("/room_keys/keys/{}/{}", room, session, body=body, query={"version": version})


def get_key(user, version, room, session):
    return user.get("/room_keys/keys/{}/{}", room, session, query={"version": version})


def test_without_a_backup_there_is_none(ana):
    """Not M_UNRECOGNIZED: Element could not set encryption up otherwise."""
    with refused(404, "M_NOT_FOUND"):
        ana.get("/room_keys/version")
    with refused(404, "M_NOT_FOUND"):
        ana.get("/room_keys/version/{}", "1")
    with refused(404, "M_NOT_FOUND"):
        ana.get("/room_keys/keys", query={"version": "1"})


def test_a_backup_is_made_and_described(ana):
    version = new_backup(ana)
    assert isinstance(version, str)
    for path in (("/room_keys/version",), ("/room_keys/version/{}", version)):
        described = ana.get(*path)
        assert (described["algorithm"], described["auth_data"], described["count"], described["version"]) == (ALGORITHM, AUTH_DATA, 0, version)
        assert isinstance(described["etag"], str)


def test_the_newest_backup_is_the_current_one(ana):
    first, second = new_backup(ana), new_backup(ana)
    assert first != second
    assert ana.get("/room_keys/version")["version"] == second
    assert ana.get("/room_keys/version/{}", first)["version"] == first


def test_the_description_can_be_changed(ana):
    version = new_backup(ana)
    changed = {"public_key": "abcdefg", "signatures": {ana.user_id: {"ed25519:x": "signature"}}}
    path = ("/room_keys/version/{}", version)
    assert ana.put(*path, body={"algorithm": ALGORITHM, "auth_data": changed, "version": version}) == {}
    assert ana.get(*path)["auth_data"] == changed
    with refused(400, "M_INVALID_PARAM"):
        ana.put(*path, body={"algorithm": "org.example.other", "auth_data": changed})
    with refused(400, "M_INVALID_PARAM"):
        ana.put(*path, body={"algorithm": ALGORITHM, "auth_data": changed, "version": "other"})
    with refused(404, "M_NOT_FOUND"):
        ana.put("/room_keys/version/{}", "99999", body={"algorithm": ALGORITHM, "auth_data": changed})


def test_a_deleted_backup_is_gone(ana):
    first, second = new_backup(ana), new_backup(ana)
    assert ana.call("DELETE", "/room_keys/version/{}", second) == {}
    with refused(404, "M_NOT_FOUND"):
        ana.get("/room_keys/version/{}", second)
    assert ana.get("/room_keys/version")["version"] == first
    assert new_backup(ana) not in (first, second)


def test_a_key_is_stored_and_found_at_every_level(ana):
    version = new_backup(ana)
    stored = put_key(ana, version, "!room:hearth.test", "session/one", key(data="secret"))
    assert stored["count"] == 1 and isinstance(stored["etag"], str)
    assert get_key(ana, version, "!room:hearth.test", "session/one") == key(data="secret")
    query = {"version": version}
    assert ana.get("/room_keys/keys/{}", "!room:hearth.test", query=query) == {"sessions": {"session/one": key(data="secret")}}
    assert ana.get("/room_keys/keys", query=query) == {"rooms": {"!room:hearth.test": {"sessions": {"session/one": key(data="secret")}}}}


def test_many_keys_are_stored_at_once(ana):
    version = new_backup(ana)
    query = {"version": version}
    rooms = {f"!room{number}:hearth.test": {"sessions": {f"s{session}": key(session) for session in range(3)}} for number in range(3)}
    assert ana.put("/room_keys/keys", body={"rooms": rooms}, query=query)["count"] == 9
    assert ana.get("/room_keys/keys", query=query) == {"rooms": rooms}
    assert ana.put("/room_keys/keys/{}", "!room9:hearth.test", body={"sessions": {"s": key()}}, query=query)["count"] == 10


def test_what_is_changed_changes_the_etag(ana):
    version = new_backup(ana)
    first = put_key(ana, version, "!r:hearth.test", "s", key(5))["etag"]
    second = put_key(ana, version, "!r:hearth.test", "s", key(4))["etag"]
    assert first != second
    assert ana.get("/room_keys/version")["etag"] == second
    assert put_key(ana, version, "!r:hearth.test", "s", key(9))["etag"] == second  # Not better: nothing changed.


BETTER = [
    # (what is there, what comes, which one is kept): verified beats unverified, then a lower first index, then fewer forwards
    (key(1), key(0, data="new"), "new"),
    (key(0), key(1, data="new"), "old"),
    pytest.param(
        key(1, verified=True), key(0, data="new"), "old", marks=pytest.mark.synapse_differs("looks at the index before it looks at that")
    ),
    (key(0), key(5, verified=True, data="new"), "new"),
    (key(0, 2), key(0, 1, data="new"), "new"),
    (key(0, 1), key(0, 2, data="new"), "old"),
    (key(0, 1), key(0, 1, data="new"), "old"),
]


@pytest.mark.parametrize("there, comes, kept", BETTER, ids=lambda value: value if isinstance(value, str) else "")
def test_the_better_key_is_kept(ana, there, comes, kept):
    version = new_backup(ana)
    put_key(ana, version, "!r:hearth.test", "s", there)
    put_key(ana, version, "!r:hearth.test", "s", comes)
    assert get_key(ana, version, "!r:hearth.test", "s") == (comes if kept == "new" else there)


def test_keys_are_deleted_at_every_level(ana):
    version = new_backup(ana)
    query = {"version": version}
    rooms = {f"!room{number}:hearth.test": {"sessions": {"a": key(), "b": key()}} for number in range(2)}
    ana.put("/room_keys/keys", body={"rooms": rooms}, query=query)
    assert ana.call("DELETE", "/room_keys/keys/{}/{}", "!room0:hearth.test", "a", query=query)["count"] == 3
    assert ana.call("DELETE", "/room_keys/keys/{}", "!room0:hearth.test", query=query)["count"] == 2
    deleted = ana.call("DELETE", "/room_keys/keys", query=query)
    assert deleted["count"] == 0 and isinstance(deleted["etag"], str)
    assert ana.get("/room_keys/keys", query=query) == {"rooms": {}}


def test_what_is_not_there_is_empty_or_not_found(ana):
    version = new_backup(ana)
    assert ana.get("/room_keys/keys/{}", "!none:hearth.test", query={"version": version}) == {"sessions": {}}
    with refused(404, "M_NOT_FOUND"):
        get_key(ana, version, "!none:hearth.test", "none")


@pytest.mark.synapse_differs("names the wrong version")
def test_keys_go_into_the_current_backup_alone(ana):
    old, current = new_backup(ana), new_backup(ana)
    for path, body in (
        (("/room_keys/keys",), {"rooms": {}}),
        (("/room_keys/keys/{}", "!r:hearth.test"), {"sessions": {}}),
        (("/room_keys/keys/{}/{}", "!r:hearth.test", "s"), key()),
    ):
        with refused(403, "M_WRONG_ROOM_KEYS_VERSION") as caught:
            ana.put(*path, body=body, query={"version": old})
        assert caught.value.body["current_version"] == current


def test_keys_of_an_old_backup_can_still_be_read(ana):
    old = new_backup(ana)
    put_key(ana, old, "!r:hearth.test", "s", key())
    new_backup(ana)
    assert get_key(ana, old, "!r:hearth.test", "s") == key()


def test_backups_are_private(ana, bob):
    version = new_backup(ana)
    put_key(ana, version, "!r:hearth.test", "s", key())
    with refused(404, "M_NOT_FOUND"):
        bob.get("/room_keys/version/{}", version)
    with refused(404, "M_NOT_FOUND"):
        get_key(bob, version, "!r:hearth.test", "s")


def test_the_version_must_be_given(ana):
    new_backup(ana)
    for method, path in (("GET", "/room_keys/keys"), ("PUT", "/room_keys/keys"), ("DELETE", "/room_keys/keys")):
        with refused(400, "M_MISSING_PARAM"):
            ana.call(method, path, **({"body": {"rooms": {}}} if method == "PUT" else {}))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"first_message_index": "0", "forwarded_count": 0, "is_verified": False, "session_data": {}},
        {"first_message_index": -1, "forwarded_count": 0, "is_verified": False, "session_data": {}},
        {"first_message_index": 0, "forwarded_count": 0, "is_verified": "no", "session_data": {}},
        {"first_message_index": 0, "forwarded_count": 0, "is_verified": False, "session_data": []},
    ],
    ids=str,
)
@pytest.mark.synapse_differs("takes some of them", sometimes=True)
def test_a_malformed_key_is_refused(ana, body):
    version = new_backup(ana)
    with refused(400, MALFORMED):
        put_key(ana, version, "!r:hearth.test", "s", body)
    assert ana.get("/room_keys/version")["count"] == 0


@pytest.mark.parametrize("body", [{}, {"algorithm": 1, "auth_data": {}}, {"algorithm": ALGORITHM}, {"algorithm": ALGORITHM, "auth_data": []}], ids=str)
@pytest.mark.synapse_differs("takes some of them", sometimes=True)
def test_a_malformed_backup_is_refused(ana, body):
    with refused(400, MALFORMED):
        ana.post("/room_keys/version", body=body)
    with refused(404, "M_NOT_FOUND"):
        ana.get("/room_keys/version")
