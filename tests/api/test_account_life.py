"""The life of an account beyond sign-up: guests, deactivation, rate limits, and what happens to requests under way when a session ends."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from support.client import PASSWORD, Client, refused, unique
from support.http import Refused
from support.registration import register_with_secret

# Sessions that end


@pytest.mark.synapse_differs("lets the poll wait")
def test_a_poll_under_way_ends_with_its_session(ana):
    phone = ana.login()
    with phone.parked(phone.now()) as answer:
        ana.authorise("DELETE", "/devices/{}", phone.device_id)
        with refused(401, "M_UNKNOWN_TOKEN"):
            answer()


def test_a_registration_may_be_repeated_when_its_answer_was_lost(nobody):
    name = unique("ana")
    challenge = nobody.send("POST", "/register", body={"username": name, "password": PASSWORD}).json()
    body = {"username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy", "session": challenge["session"]}}
    first = nobody.on(0).post("/register", body=body)
    again = nobody.on(1).post("/register", body=body)
    assert again["user_id"] == first["user_id"]
    assert nobody.with_session(again).get("/account/whoami")["user_id"] == first["user_id"]


@pytest.mark.hearth_only("Synapse does not ask for the password")
def test_a_session_of_a_finished_registration_is_no_way_in_without_the_password(nobody):
    name = unique("ana")
    challenge = nobody.send("POST", "/register", body={"username": name, "password": PASSWORD}).json()
    auth = {"type": "m.login.dummy", "session": challenge["session"]}
    nobody.post("/register", body={"username": name, "password": PASSWORD, "auth": auth})
    with refused(403, "M_FORBIDDEN"):
        nobody.post("/register", body={"username": name, "password": "another password", "auth": auth})


@pytest.mark.synapse_differs("keeps the last one alone")
def test_both_answers_of_a_repeated_refresh_work(ana):
    login = ana.post("/login", body={"type": "m.login.password", "user": ana.user_id, "password": PASSWORD, "refresh_token": True}, token=None)
    answers = [ana.post("/refresh", body={"refresh_token": login["refresh_token"]}, token=None) for _ in range(2)]
    for answer in answers:
        assert Client(ana.transport, token=answer["access_token"]).get("/account/whoami")["device_id"] == login["device_id"]


@pytest.mark.synapse_differs("keeps it until it expires")
def test_the_old_access_token_ends_when_the_new_one_is_used(ana):
    login = ana.post("/login", body={"type": "m.login.password", "user": ana.user_id, "password": PASSWORD, "refresh_token": True}, token=None)
    old = Client(ana.transport, token=login["access_token"])
    renewed = ana.post("/refresh", body={"refresh_token": login["refresh_token"]}, token=None)
    assert old.get("/account/whoami")
    assert Client(ana.transport, token=renewed["access_token"]).on(0).get("/account/whoami")
    with refused(401, "M_UNKNOWN_TOKEN"):
        old.on(1).get("/account/whoami")


# Deactivation


def test_deactivation_asks_for_the_password_and_ends_everything(ana, bob, room):
    phone = ana.login()
    response = ana.send("POST", "/account/deactivate", body={})
    assert response.status_code == 401 and {"stages": ["m.login.password"]} in response.json()["flows"]
    answer = ana.authorise("POST", "/account/deactivate")
    assert answer["id_server_unbind_result"] in ("success", "no-support")
    for client in (ana, phone):
        with refused(401, "M_UNKNOWN_TOKEN"):
            client.get("/account/whoami")
    with refused(403, ("M_FORBIDDEN", "M_USER_DEACTIVATED")):
        Client(ana.transport).login(ana.user_id, PASSWORD)
    with refused(400, "M_USER_IN_USE"):
        Client(ana.transport).register(ana.localpart)


@pytest.mark.synapse_differs("leaves rooms a little later", sometimes=True)
def test_who_deactivates_leaves_all_rooms_and_refuses_invites(ana, bob, room):
    inviting = bob.create_room(invite=[ana.user_id])
    assert inviting in ana.sync()["rooms"]["invite"]
    ana.authorise("POST", "/account/deactivate")
    for left in (room, inviting):
        assert bob.state(left, "m.room.member", ana.user_id)["membership"] == "leave"


def test_an_erased_account_has_no_profile(ana, nobody):
    ana.put("/profile/{}/displayname", ana.user_id, body={"displayname": "Ana the first"})
    ana.authorise("POST", "/account/deactivate", body={"erase": True})
    response = nobody.send("GET", "/profile/{}", ana.user_id)
    assert response.status_code == 404 or not response.json().get("displayname")


# Guests


@pytest.fixture(scope="session")
def guest_server(make_deployment):
    return make_deployment(
        allow_guest_access=True, login_via_existing_session=None, rc_registration={"per_second": 0.01, "burst_count": 4}
    )


@pytest.mark.own_server
def test_a_guest_may_do_what_guests_may(guest_server):
    nobody = Client(guest_server.transport)
    guest = nobody.with_session(nobody.post("/register", body={}, query={"kind": "guest"}))
    assert guest.get("/account/whoami")["is_guest"] is True
    guest.put("/profile/{}/displayname", guest.user_id, body={"displayname": "A guest"})
    with refused(403, ("M_FORBIDDEN", "M_GUEST_ACCESS_FORBIDDEN")):
        guest.create_room()
    with refused(403, ("M_FORBIDDEN", "M_GUEST_ACCESS_FORBIDDEN")):
        guest.put("/profile/{}/avatar_url", guest.user_id, body={"avatar_url": "mxc://hearth.test/x"})


@pytest.mark.synapse_differs("answers M_FORBIDDEN")
@pytest.mark.own_server
def test_guests_are_where_the_room_lets_them_in_and_nowhere_else(guest_server):
    nobody = Client(guest_server.transport)
    ana = register_with_secret(guest_server, unique("ana"))
    guest = nobody.with_session(nobody.post("/register", body={}, query={"kind": "guest"}))
    room = ana.create_room(preset="public_chat")
    with refused(403, "M_GUEST_ACCESS_FORBIDDEN"):
        guest.join(room)
    with refused(403, ("M_GUEST_ACCESS_FORBIDDEN", "M_FORBIDDEN")):
        guest.set_state(room, "m.room.member", {"membership": "join"}, guest.user_id)
    ana.set_state(room, "m.room.guest_access", {"guest_access": "can_join"})
    guest.join(room)
    assert guest.say(room, "hello")
    ana.set_state(room, "m.room.guest_access", {"guest_access": "forbidden"})
    assert ana.state(room, "m.room.member", guest.user_id)["membership"] == "leave"


# Limits


@pytest.mark.own_server
@pytest.mark.synapse_differs("counts otherwise", sometimes=True)
def test_sign_ups_from_an_address_are_limited_and_their_stages_are_not(guest_server):
    nobody = Client(guest_server.transport)
    for _ in range(10):
        assert nobody.send("POST", "/register", body={}).status_code in (401, 429)
    answers = [nobody.send("POST", "/register", body={}, query={"kind": "guest"}) for _ in range(9)]  # of two processes one gets five
    limited = [answer.json() for answer in answers if answer.status_code == 429]
    assert limited and limited[0]["errcode"] == "M_LIMIT_EXCEEDED" and limited[0]["retry_after_ms"] > 0
    assert register_with_secret(guest_server, unique("script"))  # Who has the secret is not slowed down.


@pytest.mark.own_server
def test_a_flood_of_messages_is_slowed_down(strict_server):
    ana = register_with_secret(strict_server, unique("ana"))
    room = ana.create_room()
    with pytest.raises(Refused) as caught:
        for number in range(60):
            ana.say(room, f"message {number}")
    assert (caught.value.status, caught.value.errcode) == (429, "M_LIMIT_EXCEEDED")
    assert caught.value.body["retry_after_ms"] > 0


@pytest.mark.own_server
def test_a_password_may_be_right_again_after_some_wrong_ones(strict_server):
    ana = register_with_secret(strict_server, unique("ana"))
    for _ in range(2):
        with refused(403, "M_FORBIDDEN"):
            ana.login(password="wrong password")
    assert ana.login().token


# Logging another device in


@pytest.fixture(scope="session")
def token_server(make_deployment):
    return make_deployment(login_via_existing_session={"enabled": True}, ui_auth={"session_timeout": "1m"})


@pytest.mark.own_server
def test_a_session_lets_another_device_in_once(token_server):
    ana = register_with_secret(token_server, unique("ana"))
    nobody = Client(token_server.transport)
    assert ana.get("/capabilities")["capabilities"]["m.get_login_token"]["enabled"] is True
    assert {"type": "m.login.token", "get_login_token": True} in nobody.get("/login")["flows"]
    answer = ana.authorise("POST", "/_matrix/client/v1/login/get_token")
    assert 0 < answer["expires_in_ms"] <= 300000
    body = {"type": "m.login.token", "token": answer["login_token"]}
    other = nobody.on(1).with_session(nobody.on(0).post("/login", body=body))
    assert other.get("/account/whoami")["user_id"] == ana.user_id
    with refused(403, "M_FORBIDDEN"):
        nobody.post("/login", body=body)
    with refused(403, "M_FORBIDDEN"):
        nobody.post("/login", body={"type": "m.login.token", "token": "wrong"})


@pytest.mark.own_server
def test_no_login_tokens_where_the_server_gives_none(guest_server):
    ana = register_with_secret(guest_server, unique("ana"))
    assert ana.get("/capabilities")["capabilities"].get("m.get_login_token", {"enabled": False})["enabled"] is False
    with refused((400, 404), "M_UNRECOGNIZED"):
        ana.post("/_matrix/client/v1/login/get_token", body={"auth": ana.password_auth()})


@pytest.mark.own_server
def test_a_recent_authentication_covers_the_next_request_where_the_server_says_so(token_server):
    """ui_auth.session_timeout. Not for a password change, which always asks."""
    ana = register_with_secret(token_server, unique("ana")).login()
    phone, laptop = ana.login(), ana.login()
    if ana.send("DELETE", "/devices/{}", phone.device_id, body={}).status_code == 401:  # A login may count as well.
        ana.authorise("DELETE", "/devices/{}", phone.device_id)
    assert ana.send("DELETE", "/devices/{}", laptop.device_id, body={}).status_code == 200
    assert ana.send("POST", "/account/password", body={"new_password": "another password"}).status_code == 401


# Rooms that new users join


@pytest.mark.own_server
@pytest.mark.synapse_differs("makes the rooms when the host signs up")
def test_new_users_join_the_rooms_of_the_configuration(make_deployment):
    server = make_deployment(auto_join_rooms=["#welcome:hearth.test", "#inner:hearth.test", "#nowhere:elsewhere.test"], auto_join_mxid_localpart="host")
    host = register_with_secret(server, "host")
    open_room = host.create_room(preset="public_chat", room_alias_name="welcome")
    closed_room = host.create_room(preset="private_chat", room_alias_name="inner")
    ana = register_with_secret(server, unique("ana"))
    assert set(ana.get("/joined_rooms")["joined_rooms"]) == {open_room, closed_room}


def test_refreshes_at_once_on_all_processes_all_get_an_answer_that_holds(ana):
    """Of as many answers as come of one refresh token the last two are good, and none is an internal error."""
    login = ana.post("/login", body={"type": "m.login.password", "user": ana.user_id, "password": PASSWORD, "refresh_token": True}, token=None)

    def refresh(process):
        return ana.on(process).send("POST", "/refresh", body={"refresh_token": login["refresh_token"]}, token=None)

    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            answers = [answer.json() for answer in pool.map(refresh, range(4)) if answer.status_code == 200]
        assert len(answers) == 4
        alive = [answer for answer in answers if ana.send("GET", "/devices", token=answer["access_token"]).status_code == 200]
        assert 1 <= len(alive) <= 2
        login = alive[0]


def test_a_stage_tries_nobody_elses_password(ana, bob):
    """It would tell right passwords of others from wrong ones, past the limits of logins."""
    device = ana.login()
    answers = []
    for password in (bob.password, "wrong"):
        response = ana.send("DELETE", "/devices/{}", device.device_id, body={})
        auth = {**bob.password_auth(session=response.json()["session"]), "password": password}
        answers.append(ana.send("DELETE", "/devices/{}", device.device_id, body={"auth": auth}))
    assert {answer.status_code for answer in answers} == {401} and {answer.json()["errcode"] for answer in answers} == {"M_FORBIDDEN"}
    assert answers[0].json()["error"] == answers[1].json()["error"]
