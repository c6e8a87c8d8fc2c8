"""The list of one's devices."""

import pytest

from support.client import MALFORMED, refused


def device_ids(user):
    return {device["device_id"] for device in user.get("/devices")["devices"]}


def test_all_devices_are_listed(ana):
    phone = ana.login(initial_device_display_name="phone")
    devices = {device["device_id"]: device for device in phone.get("/devices")["devices"]}
    assert set(devices) == {ana.device_id, phone.device_id}
    assert devices[phone.device_id]["display_name"] == "phone"


def test_when_and_from_where_a_device_was_last_seen(ana):
    device = ana.get("/devices/{}", ana.device_id)
    assert device["device_id"] == ana.device_id
    assert device.get("last_seen_ip", "127.0.0.1") in ("127.0.0.1", "::1")
    assert isinstance(device.get("last_seen_ts", 0), (int, type(None)))


def test_a_device_can_be_renamed(ana):
    assert ana.put("/devices/{}", ana.device_id, body={"display_name": "new name"}) == {}
    assert ana.get("/devices/{}", ana.device_id)["display_name"] == "new name"
    ana.put("/devices/{}", ana.device_id)  # Nothing given, nothing changed.
    assert ana.get("/devices/{}", ana.device_id)["display_name"] == "new name"


@pytest.mark.parametrize("name", [1, {}, ["x"]])
def test_a_device_name_is_a_string(ana, name):
    with refused(400, MALFORMED):
        ana.put("/devices/{}", ana.device_id, body={"display_name": name})


def test_a_device_name_is_not_endless(ana):
    with refused(400, ("M_TOO_LARGE", "M_INVALID_PARAM", "M_UNKNOWN")):
        ana.put("/devices/{}", ana.device_id, body={"display_name": "x" * 5000})


def test_unknown_devices_and_those_of_others_are_not_found(ana, bob):
    for device in ("UNKNOWN", bob.device_id):
        with refused(404, "M_NOT_FOUND"):
            ana.get("/devices/{}", device)
        with refused(404, "M_NOT_FOUND"):
            ana.put("/devices/{}", device, body={"display_name": "x"})


def test_deleting_a_device_asks_for_the_password_and_ends_its_token(ana):
    phone = ana.login()
    assert ana.authorise("DELETE", "/devices/{}", phone.device_id) == {}
    assert device_ids(ana) == {ana.device_id}
    with refused(401, "M_UNKNOWN_TOKEN"):
        phone.get("/account/whoami")


def test_a_refused_deletion_deletes_nothing(ana):
    phone = ana.login()
    challenge = ana.send("DELETE", "/devices/{}", phone.device_id).json()
    auth = {**ana.password_auth(session=challenge["session"]), "password": "wrong"}
    response = ana.send("DELETE", "/devices/{}", phone.device_id, body={"auth": auth})
    assert (response.status_code, response.json()["errcode"]) == (401, "M_FORBIDDEN")
    assert phone.get("/account/whoami")


def test_several_devices_are_deleted_at_once(ana):
    phones = [ana.login() for _ in range(3)]
    ana.authorise("POST", "/delete_devices", body={"devices": [phone.device_id for phone in phones]})
    assert device_ids(ana) == {ana.device_id}


def test_deleting_an_unknown_device_is_no_error(ana):
    assert ana.authorise("DELETE", "/devices/{}", "UNKNOWN") == {}
    assert ana.authorise("POST", "/delete_devices", body={"devices": ["UNKNOWN"]}) == {}


@pytest.mark.parametrize("devices", [None, "X", {"X": 1}, [1]])
def test_the_devices_to_delete_are_a_list_of_strings(ana, devices):
    with refused(400, MALFORMED):
        ana.post("/delete_devices", body={"devices": devices, "auth": ana.password_auth()})


def test_authentication_for_a_deletion_may_span_processes(ana):
    phone = ana.login()
    challenge = ana.on(0).send("DELETE", "/devices/{}", phone.device_id, body={}).json()
    auth = ana.password_auth(session=challenge["session"])
    assert ana.on(1).call("DELETE", "/devices/{}", phone.device_id, body={"auth": auth}) == {}
