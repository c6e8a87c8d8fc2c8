"""End-to-end encryption as the server sees it: keys of devices, one-time and fallback keys, device lists, cross-signing."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from support.client import MALFORMED, ids, joined, refused, timeline
from support.keys import CrossSigning, DeviceKeys, Ed25519


def query(user, *users):
    return user.post("/keys/query", body={"device_keys": {each.user_id: [] for each in users}})


def claim(user, target, algorithm="signed_curve25519"):
    """The one-time key that was claimed of the target's device, as (name, key); None if there was none."""
    body = {"one_time_keys": {target.user_id: {target.device_id: algorithm}}}
    keys = user.post("/keys/claim", body=body)["one_time_keys"].get(target.user_id, {}).get(target.device_id, {})
    return next(iter(keys.items()), None)


def without_unsigned(value):
    return {key: part for key, part in value.items() if key != "unsigned"}


def count(answer):
    return answer.get("device_one_time_keys_count", {}).get("signed_curve25519", 0)


# Device keys


def test_device_keys_are_published_and_found(ana, bob):
    keys = DeviceKeys(ana)
    keys.upload()
    found = query(bob, ana)["device_keys"][ana.user_id][ana.device_id]
    assert without_unsigned(found) == keys.device_keys()


def test_the_name_of_a_device_comes_with_its_keys(ana):
    phone = ana.login(initial_device_display_name="phone")
    DeviceKeys(phone).upload()
    found = query(ana, ana)["device_keys"][ana.user_id][phone.device_id]
    assert found["unsigned"]["device_display_name"] == "phone"


def test_some_devices_can_be_asked_for(ana, bob):
    phone = ana.login()
    for device in (ana, phone):
        DeviceKeys(device).upload()
    answer = bob.post("/keys/query", body={"device_keys": {ana.user_id: [phone.device_id, "UNKNOWN"]}})
    assert set(answer["device_keys"][ana.user_id]) == {phone.device_id}


def test_unknown_users_have_no_keys(ana):
    unknown = "@nobody-of-that-name:hearth.test"
    answer = ana.post("/keys/query", body={"device_keys": {unknown: []}})
    assert answer["device_keys"].get(unknown, {}) == {}
    assert answer.get("failures", {}) == {}


def test_devices_without_keys_are_not_listed(ana, bob):
    DeviceKeys(ana).upload()
    phone = ana.login()
    assert phone.device_id not in query(bob, ana)["device_keys"][ana.user_id]


def test_keys_of_a_deleted_device_are_gone(ana, bob):
    phone = ana.login()
    DeviceKeys(phone).upload(one_time_keys=DeviceKeys(phone).one_time_keys("AAA"))
    phone.post("/logout")
    assert phone.device_id not in query(bob, ana)["device_keys"].get(ana.user_id, {})
    assert claim(bob, phone) is None


@pytest.mark.parametrize("wrong", [{"user_id": "@somebody:hearth.test"}, {"device_id": "OTHER"}])
def test_device_keys_must_be_ones_own(ana, wrong):
    with refused(400, (*MALFORMED, "M_UNKNOWN")):
        ana.post("/keys/upload", body={"device_keys": {**DeviceKeys(ana).device_keys(), **wrong}})


def test_identity_keys_of_a_device_can_be_uploaded_again(ana, bob):
    keys = DeviceKeys(ana)
    keys.upload()
    keys.upload()
    assert without_unsigned(query(bob, ana)["device_keys"][ana.user_id][ana.device_id]) == keys.device_keys()


# One-time keys


def test_counts_come_with_every_upload(ana):
    keys = DeviceKeys(ana)
    assert ana.post("/keys/upload")["one_time_key_counts"].get("signed_curve25519", 0) == 0
    assert keys.upload(one_time_keys=keys.one_time_keys("AAA", "AAB"))["one_time_key_counts"] == {"signed_curve25519": 2}
    assert ana.post("/keys/upload")["one_time_key_counts"] == {"signed_curve25519": 2}


def test_each_one_time_key_is_given_out_once_oldest_first(ana, bob):
    keys = DeviceKeys(ana)
    one_time = {}
    keys.upload()
    for name in ("AAA", "AAB", "AAC"):
        new = keys.one_time_keys(name)
        one_time.update(new)
        ana.post("/keys/upload", body={"one_time_keys": new})
    claimed = [claim(bob, ana) for _ in range(4)]
    assert claimed[:3] == list(one_time.items())
    assert claimed[3] is None


def test_one_time_keys_are_given_out_once_by_all_processes_together(ana, bob):
    keys = DeviceKeys(ana)
    names = [f"A{number:02}" for number in range(20)]
    keys.upload(one_time_keys=keys.one_time_keys(*names))
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda process: claim(bob.on(process), ana), range(24)))
    given = [name for name, _ in filter(None, claimed)]
    assert sorted(given) == sorted("signed_curve25519:" + name for name in names)


def test_the_same_one_time_key_may_be_uploaded_again_but_not_another_under_its_name(ana):
    keys = DeviceKeys(ana)
    one_time = keys.one_time_keys("AAA")
    keys.upload(one_time_keys=one_time)
    assert ana.post("/keys/upload", body={"one_time_keys": one_time})["one_time_key_counts"] == {"signed_curve25519": 1}
    with refused(400, ("M_INVALID_PARAM", "M_UNKNOWN")):
        ana.post("/keys/upload", body={"one_time_keys": keys.one_time_keys("AAA")})


def test_a_fallback_key_is_given_out_when_the_others_are_gone(ana, bob):
    keys = DeviceKeys(ana)
    fallback = keys.one_time_keys("FALL", fallback=True)
    keys.upload(one_time_keys=keys.one_time_keys("AAA"), fallback_keys=fallback)
    since = ana.sync()
    assert since["device_unused_fallback_key_types"] == ["signed_curve25519"]
    assert claim(bob, ana)[0] == "signed_curve25519:AAA"
    assert ana.sync()["device_unused_fallback_key_types"] == ["signed_curve25519"]
    for _ in range(2):
        assert claim(bob, ana) == next(iter(fallback.items()))
    assert ana.sync()["device_unused_fallback_key_types"] == []
    ana.post("/keys/upload", body={"fallback_keys": keys.one_time_keys("NEXT", fallback=True)})
    assert ana.sync()["device_unused_fallback_key_types"] == ["signed_curve25519"]
    assert claim(bob, ana)[0] == "signed_curve25519:NEXT"


@pytest.mark.synapse_differs("gives it out again", sometimes=True)
def test_a_claimed_key_that_is_uploaded_again_is_not_given_out_twice(ana, bob):
    """The device did not hear the answer to its upload; meanwhile somebody took the key."""
    keys = DeviceKeys(ana)
    body = {"device_keys": keys.device_keys(), "one_time_keys": keys.one_time_keys("AAA")}
    ana.post("/keys/upload", body=body)
    assert claim(bob, ana)
    answer = ana.post("/keys/upload", body=body)
    assert answer["one_time_key_counts"].get("signed_curve25519", 0) == 0
    assert claim(bob, ana) is None
    # A client that began anew may use the name for another key.
    other = {"one_time_keys": DeviceKeys(ana).one_time_keys("AAA")}
    assert list(other["one_time_keys"]) == list(body["one_time_keys"])
    assert ana.post("/keys/upload", body=other)["one_time_key_counts"]["signed_curve25519"] == 1
    assert claim(bob, ana)[1]["key"] == next(iter(other["one_time_keys"].values()))["key"]


def test_a_claim_wakes_the_device_and_tells_the_new_count(ana, bob):
    keys = DeviceKeys(ana)
    keys.upload(one_time_keys=keys.one_time_keys("AAA", "AAB"))
    assert count(ana.sync()) == 2
    with ana.on(0).parked() as answer:
        claim(bob.on(1), ana)
        ana.on(1).account_data("org.example.wake", {})  # Synapse does not wake for a claim alone.
        assert count(answer()) == 1


@pytest.mark.hearth_only("Synapse tells the new count with the next news")
def test_a_claim_alone_wakes_the_device(ana, bob):
    keys = DeviceKeys(ana)
    keys.upload(one_time_keys=keys.one_time_keys("AAA", "AAB"))
    with ana.on(0).parked() as answer:
        claim(bob.on(1), ana)
        assert count(answer()) == 1


def test_counts_are_of_the_device_that_asks(ana):
    phone = ana.login()
    keys = DeviceKeys(ana)
    keys.upload(one_time_keys=keys.one_time_keys("AAA"))
    assert count(ana.sync()) == 1 and count(phone.sync()) == 0


def test_unknown_devices_and_algorithms_give_no_key(ana, bob):
    DeviceKeys(ana).upload(one_time_keys=DeviceKeys(ana).one_time_keys("AAA"))
    assert claim(bob, ana, "org.example.algorithm") is None
    answer = bob.post("/keys/claim", body={"one_time_keys": {ana.user_id: {"UNKNOWN": "signed_curve25519"}}})
    assert answer["one_time_keys"].get(ana.user_id, {}).get("UNKNOWN", {}) == {}


# Device lists


@pytest.fixture
def encrypted(ana, bob):
    """An encrypted room of ana and bob."""
    states = [{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
    room = ana.create_room(preset="private_chat", invite=[bob.user_id], initial_state=states)
    bob.join(room)
    return room


def changed(answer):
    return answer.get("device_lists", {}).get("changed", [])


def gone(answer):
    return answer.get("device_lists", {}).get("left", [])


def changes(user, start, end):
    return user.get("/keys/changes", query={"from": start, "to": end})


def test_new_keys_change_the_list_of_who_shares_a_room(ana, bob, carol, encrypted):
    since, elsewhere = ana.now(), carol.now()
    DeviceKeys(bob).upload()
    answer = ana.sync_until(changed, since)
    assert changed(answer) == [bob.user_id]
    assert changed(ana.sync(answer["next_batch"])) == []
    assert changed(carol.sync(elsewhere)) == []
    assert changes(ana, since, answer["next_batch"])["changed"] == [bob.user_id]


def test_ones_own_other_device_changes_the_list_too(ana):
    since = ana.now()
    phone = ana.login()
    DeviceKeys(phone).upload()
    assert ana.user_id in changed(ana.sync_until(changed, since))


def test_a_deleted_device_changes_the_list(ana, bob, encrypted):
    phone = bob.login()
    DeviceKeys(phone).upload()
    since = ana.now()
    phone.post("/logout")
    assert changed(ana.sync_until(changed, since)) == [bob.user_id]


def test_a_waiting_sync_wakes_for_changed_keys(ana, bob, encrypted):
    with ana.on(0).parked() as answer:
        DeviceKeys(bob.on(1)).upload()
        assert changed(answer()) == [bob.user_id]


def test_uploading_the_same_keys_again_changes_nothing(ana, bob, encrypted):
    keys = DeviceKeys(bob)
    keys.upload()
    since = ana.now()
    keys.upload(one_time_keys=keys.one_time_keys("AAA"))
    assert changed(ana.sync(since)) == []


def test_who_joins_an_encrypted_room_is_new_to_the_others(ana, bob, carol, encrypted):
    DeviceKeys(carol).upload()
    ana.invite(encrypted, carol)
    before_ana, before_carol = ana.now(), carol.now()
    carol.join(encrypted)
    answer = ana.sync_until(changed, before_ana)
    assert carol.user_id in changed(answer)
    others = carol.sync_until(changed, before_carol)
    assert {ana.user_id, bob.user_id} <= set(changed(others))


def test_who_leaves_the_last_shared_room_is_left(ana, bob, encrypted):
    since = ana.now()
    bob.leave(encrypted)
    answer = ana.sync_until(gone, since)
    assert gone(answer) == [bob.user_id]
    assert bob.user_id in changes(ana, since, answer["next_batch"])["left"]


def test_who_still_shares_another_room_is_not_left(ana, bob, encrypted):
    states = [{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
    other = ana.create_room(invite=[bob.user_id], initial_state=states)
    bob.join(other)
    since = ana.now()
    bob.leave(encrypted)
    assert bob.user_id not in gone(ana.sync(since))


def test_leaving_oneself_leaves_all_the_others(ana, bob, encrypted):
    since = bob.now()
    bob.leave(encrypted)
    answer = bob.sync_until(gone, since)
    assert gone(answer) == [ana.user_id]


def test_leaving_and_coming_back_in_one_gap_is_a_change(ana, bob, encrypted):
    since = ana.now()
    bob.leave(encrypted)
    ana.invite(encrypted, bob)
    bob.join(encrypted)
    answer = ana.sync(since)
    assert bob.user_id in changed(answer) and bob.user_id not in gone(answer)


def test_a_room_that_becomes_encrypted_makes_its_members_known(ana, bob, room):
    """Users with whom an encrypted room is newly shared are in `changed`."""
    DeviceKeys(bob).upload()
    since = ana.now()
    DeviceKeys(bob.login()).upload()
    ana.set_state(room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    assert bob.user_id in changed(ana.sync(since))


@pytest.mark.synapse_differs("can do without an end")
def test_changes_need_both_ends(ana):
    since = ana.now()
    for part in ({"from": "nonsense", "to": since}, {"to": since}, {"from": since}):
        with refused(400, (*MALFORMED, "M_UNKNOWN")):
            ana.get("/keys/changes", query=part)


# Cross-signing


def test_cross_signing_keys_are_published_and_found(ana, bob):
    cross = CrossSigning(ana)
    assert ana.post("/keys/device_signing/upload", body=cross.body()) == {}
    mine, theirs = query(ana, ana), query(bob, ana)
    for answer in (mine, theirs):
        assert answer["master_keys"][ana.user_id] == cross.body()["master_key"]
        assert answer["self_signing_keys"][ana.user_id] == cross.body()["self_signing_key"]
    assert mine["user_signing_keys"][ana.user_id] == cross.body()["user_signing_key"]
    assert ana.user_id not in theirs.get("user_signing_keys", {})


def test_the_same_keys_again_need_no_authentication_but_others_do(ana):
    first, second = CrossSigning(ana), CrossSigning(ana)
    ana.post("/keys/device_signing/upload", body=first.body())
    assert ana.post("/keys/device_signing/upload", body=first.body()) == {}
    response = ana.send("POST", "/keys/device_signing/upload", body=second.body())
    assert response.status_code == 401
    assert {"stages": ["m.login.password"]} in response.json()["flows"]
    assert query(ana, ana)["master_keys"][ana.user_id] == first.body()["master_key"]
    assert ana.authorise("POST", "/keys/device_signing/upload", body=second.body()) == {}
    assert query(ana, ana)["master_keys"][ana.user_id] == second.body()["master_key"]


def test_keys_are_accepted_where_older_clients_send_them(ana):
    path, cross = "/_matrix/client/unstable/keys/device_signing/upload", CrossSigning(ana)
    assert ana.post(path, body=cross.body()) == {}
    assert ana.send("POST", path, body=CrossSigning(ana).body()).status_code == 401
    assert query(ana, ana)["master_keys"][ana.user_id] == cross.body()["master_key"]


def test_subkeys_must_be_signed_by_the_master_key(ana):
    cross, stranger = CrossSigning(ana), Ed25519()
    body = cross.body()
    body["self_signing_key"] = stranger.sign(ana.user_id, cross.public_part(cross.self_signing, "self_signing"))
    with refused(400, ("M_INVALID_SIGNATURE", "M_UNKNOWN")):
        ana.post("/keys/device_signing/upload", body=body)
    assert query(ana, ana).get("master_keys", {}).get(ana.user_id) is None
    body = cross.body()
    forged = dict(body["self_signing_key"]["signatures"][ana.user_id])
    body["self_signing_key"]["signatures"][ana.user_id] = {key: forged[key][::-1] for key in forged}
    with refused(400, ("M_INVALID_SIGNATURE", "M_UNKNOWN")):
        ana.post("/keys/device_signing/upload", body=body)


def test_a_subkey_without_any_master_key_is_refused(ana):
    body = {"self_signing_key": CrossSigning(ana).body()["self_signing_key"]}
    with refused(400, ("M_MISSING_PARAM", "M_INVALID_PARAM", "M_INVALID_SIGNATURE", "M_UNKNOWN")):
        ana.post("/keys/device_signing/upload", body=body)


def test_cross_signing_keys_must_be_ones_own(ana, bob):
    with refused((400, 403), (*MALFORMED, "M_FORBIDDEN", "M_UNKNOWN")):
        ana.post("/keys/device_signing/upload", body=CrossSigning(bob).body())


def test_new_cross_signing_keys_change_the_device_list(ana, bob, encrypted):
    since = ana.now()
    bob.post("/keys/device_signing/upload", body=CrossSigning(bob).body())
    assert changed(ana.sync_until(changed, since)) == [bob.user_id]


@pytest.fixture
def signed(ana):
    """Ana's device keys and cross-signing keys, published: (DeviceKeys, CrossSigning)."""
    keys, cross = DeviceKeys(ana), CrossSigning(ana)
    keys.upload()
    ana.post("/keys/device_signing/upload", body=cross.body())
    return keys, cross


def test_a_device_can_be_signed_by_its_owner(ana, bob, signed):
    keys, cross = signed
    body = cross.self_signing.sign(ana.user_id, keys.device_keys())
    answer = ana.post("/keys/signatures/upload", body={ana.user_id: {ana.device_id: body}})
    assert answer.get("failures", {}) == {}
    found = query(bob, ana)["device_keys"][ana.user_id][ana.device_id]
    assert cross.self_signing.identifier in found["signatures"][ana.user_id]
    assert keys.ed25519.identifier in found["signatures"][ana.user_id]


def test_the_master_key_can_be_signed_by_a_device(ana, signed):
    keys, cross = signed
    body = keys.ed25519.sign(ana.user_id, cross.body()["master_key"])
    answer = ana.post("/keys/signatures/upload", body={ana.user_id: {cross.master.public: body}})
    assert answer.get("failures", {}) == {}
    assert keys.ed25519.identifier in query(ana, ana)["master_keys"][ana.user_id]["signatures"][ana.user_id]


def test_another_users_master_key_can_be_signed_and_only_the_signer_sees_it(ana, bob, carol, signed):
    _, cross = signed
    theirs = CrossSigning(bob)
    bob.post("/keys/device_signing/upload", body=theirs.body())
    body = cross.user_signing.sign(ana.user_id, theirs.body()["master_key"])
    answer = ana.post("/keys/signatures/upload", body={bob.user_id: {theirs.master.public: body}})
    assert answer.get("failures", {}) == {}
    mine = query(ana, bob)["master_keys"][bob.user_id]
    assert cross.user_signing.identifier in mine["signatures"][ana.user_id]
    for other in (bob, carol):
        assert ana.user_id not in query(other, bob)["master_keys"][bob.user_id].get("signatures", {})


@pytest.mark.synapse_differs("leaves the text out")
def test_a_forged_signature_is_a_failure_of_that_key_alone(ana, signed):
    keys, cross = signed
    good = keys.ed25519.sign(ana.user_id, cross.body()["master_key"])
    forged = cross.self_signing.sign(ana.user_id, {**keys.device_keys(), "algorithms": ["org.example.other"]})
    answer = ana.post("/keys/signatures/upload", body={ana.user_id: {cross.master.public: good, ana.device_id: forged, "UNKNOWN": forged}})
    failures = answer["failures"][ana.user_id]
    assert set(failures) == {ana.device_id, "UNKNOWN"}
    for failure in failures.values():
        assert isinstance(failure["errcode"], str) and isinstance(failure["error"], str)


def test_a_new_signature_changes_the_device_list(ana, bob, encrypted, signed):
    keys, cross = signed
    since = bob.now()
    body = cross.self_signing.sign(ana.user_id, keys.device_keys())
    ana.post("/keys/signatures/upload", body={ana.user_id: {ana.device_id: body}})
    assert changed(bob.sync_until(changed, since)) == [ana.user_id]


@pytest.mark.synapse_differs("answers 400")
def test_a_new_login_may_not_be_called_like_a_cross_signing_key(ana, signed):
    """The identifiers of devices and of cross-signing keys share one space."""
    _, cross = signed
    with refused(403, "M_FORBIDDEN"):
        ana.login(device_id=cross.master.public)


@pytest.mark.parametrize(
    "path, body",
    [
        ("/keys/upload", {"device_keys": 1}),
        ("/keys/upload", {"one_time_keys": []}),
        ("/keys/upload", {"one_time_keys": {"no-colon": "x"}}),
        ("/keys/upload", {"fallback_keys": 7}),
        ("/keys/query", {}),
        ("/keys/query", {"device_keys": []}),
        ("/keys/query", {"device_keys": {"@a:b.test": "X"}}),
        ("/keys/claim", {}),
        ("/keys/claim", {"one_time_keys": []}),
        ("/keys/claim", {"one_time_keys": {"@a:b.test": []}}),
        ("/keys/signatures/upload", {"@a:b.test": []}),
        ("/keys/device_signing/upload", {"master_key": 1}),
        ("/keys/device_signing/upload", {"master_key": {}}),
    ],
    ids=str,
)
@pytest.mark.synapse_differs("takes some of them, or answers M_UNKNOWN or 500", sometimes=True)
def test_a_malformed_request_is_refused(ana, path, body):
    with refused(400, MALFORMED):
        ana.post(path, body=body)


def test_an_encrypted_message_goes_its_way(ana, bob, encrypted):
    since = bob.now()
    content = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAEn", "session_id": "x", "sender_key": "y", "device_id": ana.device_id}
    event_id = ana.send_event(encrypted, "m.room.encrypted", content)
    answer = bob.sync_until(lambda answer: joined(answer, encrypted), since)
    assert ids(timeline(answer, encrypted)) == [event_id]
    assert timeline(answer, encrypted)[0]["content"] == content
