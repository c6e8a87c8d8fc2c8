"""One valid request for each endpoint, to be sent as it is or spoiled in every way (test_bad_input.py)."""

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

from support.client import PASSWORD, next_txn, unique
from support.http import fill
from support.keys import CrossSigning, DeviceKeys

ENDPOINTS = Path(__file__).parent.parent / "api" / "endpoints.tsv"


def specified_endpoints():
    """The rows of endpoints.tsv: (api, method, path, offered)."""
    with ENDPOINTS.open(newline="") as table:
        return [tuple(row.values()) for row in csv.DictReader(table, delimiter="\t")]


def offered_endpoints():
    """(method, path) of what the server has to offer."""
    return [(method, path) for _, method, path, offered in specified_endpoints() if offered == "yes"]


def nameless(path):
    """The path with all parameters alike, so that their names don't matter."""
    return re.sub(r"{[^}]*}", "{}", path)


@dataclass
class Request:
    """`parameters` fill the path in its order. `required` are the keys of the body without which there is no request."""

    parameters: dict = field(default_factory=dict)
    body: object = None
    query: dict = field(default_factory=dict)
    required: tuple = ()
    token: bool = True
    data: bytes = None
    status: int = 200

    def path(self, template, **changed):
        for name, value in {**self.parameters, **changed}.items():
            template = template.replace("{" + name + "}", fill("{}", value))
        return template

    def send(self, client, method, template, path=None, **options):
        options = {"query": self.query, **options}
        if self.data is not None:
            options.setdefault("data", self.data)
        elif self.body is not None and "data" not in options:
            options.setdefault("body", self.body)
        if not self.token:
            options.setdefault("token", None)
        return client.transport.send(method, path or self.path(template), **{"token": client.token, **options})


class World:
    """Two users, a room with a thread, and one of everything else that a request can name."""

    def __init__(self, new_user):
        self.new_user = new_user
        self.worn = False  # Whether somebody meddled with ana's password, or used up what she may reserve.
        self.ana, self.bob = new_user("ana"), new_user("bob")
        ana, bob = self.ana, self.bob
        self.alias = f"#{unique('alias')}:{ana.server_name}"
        self.room = ana.create_room(preset="public_chat", invite=[bob.user_id])
        bob.join(self.room)
        self.message = ana.say(self.room, "hello")
        self.since = ana.now()

    def request(self, method, path):
        """A valid request to this endpoint. May prepare what it needs, so ask for it right before sending it."""
        return getattr(self, f"{method.lower()}_{name_of(path)}")()

    def whole(self):
        """Whether ana and bob are still logged in, alone in a few rooms, and can talk, and ana's password is what it was."""
        if self.worn:
            return False
        for user in (self.ana, self.bob):
            response = user.send("GET", "/joined_rooms")
            if response.status_code != 200 or self.room not in response.json()["joined_rooms"] or len(response.json()["joined_rooms"]) > 20:
                return False
            content = {"msgtype": "m.text", "body": "still here"}
            if user.send("PUT", "/rooms/{}/send/m.room.message/{}", self.room, next_txn(), body=content).status_code != 200:
                return False
        return True

    # Parts

    def of_room(self, **body):
        return Request({"roomId": self.room}, **body)

    def of_user(self, **body):
        return Request({"userId": self.ana.user_id}, **body)

    def own_device(self):
        return self.ana.login()

    def backup(self):
        body = {"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {"public_key": "x", "signatures": {}}}
        return self.ana.post("/room_keys/version", body=body)["version"]

    def session_key(self):
        return {"first_message_index": 1, "forwarded_count": 0, "is_verified": True, "session_data": {"x": "y"}}

    def filled_backup(self):
        version = self.backup()
        self.ana.put("/room_keys/keys/{}/{}", self.room, "session", body=self.session_key(), query={"version": version})
        return {"version": version}

    def login_with_refresh_token(self):
        body = {"type": "m.login.password", "user": self.ana.user_id, "password": PASSWORD, "refresh_token": True}
        return self.ana.post("/login", body=body, token=None)

    def own_rule(self):
        self.ana.put("/pushrules/global/content/mine", body={"pattern": "cake", "actions": ["notify"]})
        return {"kind": "content", "ruleId": "mine"}

    def upload(self):
        uri = self.ana.call("POST", "/_matrix/media/v3/upload", data=b"data", headers={"Content-Type": "text/plain"})["content_uri"]
        server_name, media_id = uri[len("mxc://") :].split("/")
        return {"serverName": server_name, "mediaId": media_id}

    # Discovery, accounts, sessions

    def get_versions(self):
        return Request(token=False)

    def get_well_known_matrix_client(self):
        return Request(token=False)

    def get_well_known_matrix_server(self):
        return Request(token=False)

    def get_capabilities(self):
        return Request()

    def get_login(self):
        return Request(token=False)

    def post_login(self):
        identifier = {"type": "m.id.user", "user": self.ana.user_id}
        body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD, "initial_device_display_name": "x"}
        return Request(body=body, required=("type", "identifier", "password"), token=False)

    def post_register(self):
        return Request(body={"username": unique("new"), "password": PASSWORD, "auth": {"type": "m.login.dummy"}}, token=False)

    def get_register_available(self):
        return Request(query={"username": unique("free")}, token=False)

    def get_register_m_login_registration_token_validity(self):
        return Request(query={"token": "unknown"}, token=False)

    def post_refresh(self):
        return Request(body={"refresh_token": self.login_with_refresh_token()["refresh_token"]}, required=("refresh_token",), token=False)

    def post_logout(self):
        return Request()

    def post_logout_all(self):
        return Request()

    def get_account_whoami(self):
        return Request()

    def post_account_password(self):
        self.worn = True
        return Request(body={"new_password": PASSWORD, "auth": self.ana.password_auth(), "logout_devices": False}, required=("new_password",))

    def get_account_3pid(self):
        return Request()

    def post_login_get_token(self):
        return Request(body={"auth": self.ana.password_auth()})

    def post_account_deactivate(self):
        self.worn = True
        return Request(body={"auth": self.ana.password_auth(), "erase": False})

    def get_devices(self):
        return Request()

    def get_devices_deviceId(self):
        return Request({"deviceId": self.ana.device_id})

    def put_devices_deviceId(self):
        return Request({"deviceId": self.ana.device_id}, body={"display_name": "new name"})

    def delete_devices_deviceId(self):
        return Request({"deviceId": self.own_device().device_id}, body={"auth": self.ana.password_auth()})

    def post_delete_devices(self):
        return Request(body={"devices": [self.own_device().device_id], "auth": self.ana.password_auth()}, required=("devices",))

    # Profile, account data, filters

    def get_profile_userId(self):
        self.put_profile_userId_keyName().send(self.ana, "PUT", "/_matrix/client/v3/profile/{userId}/{keyName}")
        return self.of_user(token=False)

    def get_profile_userId_keyName(self):
        self.get_profile_userId()
        return Request({"userId": self.ana.user_id, "keyName": "displayname"}, token=False)

    def put_profile_userId_keyName(self):
        return Request({"userId": self.ana.user_id, "keyName": "displayname"}, body={"displayname": "Ana"}, required=("displayname",))

    def delete_profile_userId_keyName(self):
        return Request({"userId": self.ana.user_id, "keyName": "displayname"})

    def put_user_userId_account_data_type(self):
        return Request({"userId": self.ana.user_id, "type": "org.example.x"}, body={"x": 1})

    def get_user_userId_account_data_type(self):
        self.ana.account_data("org.example.x", {"x": 1})
        return Request({"userId": self.ana.user_id, "type": "org.example.x"})

    def put_user_userId_rooms_roomId_account_data_type(self):
        return Request({"userId": self.ana.user_id, "roomId": self.room, "type": "org.example.x"}, body={"x": 1})

    def get_user_userId_rooms_roomId_account_data_type(self):
        self.ana.put("/user/{}/rooms/{}/account_data/org.example.x", self.ana.user_id, self.room)
        return Request({"userId": self.ana.user_id, "roomId": self.room, "type": "org.example.x"})

    def get_user_userId_rooms_roomId_tags(self):
        return Request({"userId": self.ana.user_id, "roomId": self.room})

    def put_user_userId_rooms_roomId_tags_tag(self):
        return Request({"userId": self.ana.user_id, "roomId": self.room, "tag": "u.x"}, body={"order": 0.5})

    def delete_user_userId_rooms_roomId_tags_tag(self):
        return Request({"userId": self.ana.user_id, "roomId": self.room, "tag": "u.x"})

    def post_user_userId_filter(self):
        return self.of_user(body={"room": {"timeline": {"limit": 5, "types": ["m.room.message"]}}})

    def get_user_userId_filter_filterId(self):
        filter_id = self.ana.post("/user/{}/filter", self.ana.user_id)["filter_id"]
        return Request({"userId": self.ana.user_id, "filterId": filter_id})

    # Rooms

    def post_createRoom(self):
        return Request(body={"name": "x", "preset": "private_chat", "initial_state": [{"type": "x", "state_key": "", "content": {}}]})

    def post_join_roomIdOrAlias(self):
        return Request({"roomIdOrAlias": self.room}, body={"reason": "x"})

    def post_knock_roomIdOrAlias(self):
        rules = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
        return Request({"roomIdOrAlias": self.bob.create_room(initial_state=[rules])}, body={"reason": "x"})

    def post_rooms_roomId_join(self):
        return self.of_room(body={"reason": "x"})

    def post_rooms_roomId_invite(self):
        return self.of_room(body={"user_id": self.new_user().user_id, "reason": "x"}, required=("user_id",))

    def post_rooms_roomId_leave(self):
        room = self.ana.create_room()
        return Request({"roomId": room}, body={"reason": "x"})

    def post_rooms_roomId_forget(self):
        room = self.ana.create_room()
        self.ana.leave(room)
        return Request({"roomId": room}, body={})

    def post_rooms_roomId_kick(self):
        member = self.new_user()
        member.join(self.room)
        return self.of_room(body={"user_id": member.user_id, "reason": "x"}, required=("user_id",))

    def post_rooms_roomId_ban(self):
        return self.of_room(body={"user_id": self.new_user().user_id, "reason": "x"}, required=("user_id",))

    def post_rooms_roomId_unban(self):
        member = self.new_user()
        self.ana.ban(self.room, member)
        return self.of_room(body={"user_id": member.user_id, "reason": "x"}, required=("user_id",))

    def get_joined_rooms(self):
        return Request()

    def get_rooms_roomId_members(self):
        return self.of_room(query={"membership": "join"})

    def get_rooms_roomId_joined_members(self):
        return self.of_room()

    def get_rooms_roomId_state(self):
        return self.of_room()

    def get_rooms_roomId_state_eventType_stateKey(self):
        return Request({"roomId": self.room, "eventType": "m.room.create", "stateKey": ""})

    def put_rooms_roomId_state_eventType_stateKey(self):
        return Request({"roomId": self.room, "eventType": "org.example.x", "stateKey": "key"}, body={"x": next_txn()})

    def put_rooms_roomId_send_eventType_txnId(self):
        content = {"msgtype": "m.text", "body": "x"}
        return Request({"roomId": self.room, "eventType": "m.room.message", "txnId": next_txn()}, body=content)

    def put_rooms_roomId_redact_eventId_txnId(self):
        return Request({"roomId": self.room, "eventId": self.ana.say(self.room), "txnId": next_txn()}, body={"reason": "x"})

    def put_directory_room_roomAlias(self):
        return Request({"roomAlias": f"#{unique('alias')}:{self.ana.server_name}"}, body={"room_id": self.room}, required=("room_id",))

    def existing_alias(self):
        request = self.put_directory_room_roomAlias()
        self.ana.put("/directory/room/{}", request.parameters["roomAlias"], body=request.body)
        return request.parameters

    def get_directory_room_roomAlias(self):
        return Request(self.existing_alias(), token=False)

    def delete_directory_room_roomAlias(self):
        return Request(self.existing_alias())

    def get_rooms_roomId_aliases(self):
        return self.of_room()

    def post_rooms_roomId_receipt_receiptType_eventId(self):
        return Request({"roomId": self.room, "receiptType": "m.read", "eventId": self.message}, body={"thread_id": "main"})

    def post_rooms_roomId_read_markers(self):
        return self.of_room(body={"m.fully_read": self.message, "m.read": self.message})

    def put_rooms_roomId_typing_userId(self):
        return Request({"roomId": self.room, "userId": self.ana.user_id}, body={"typing": True, "timeout": 100}, required=("typing",))

    def get_rooms_roomId_messages(self):
        return self.of_room(query={"dir": "b", "limit": 5, "from": self.since})

    def get_rooms_roomId_context_eventId(self):
        return Request({"roomId": self.room, "eventId": self.message}, query={"limit": 5})

    def get_rooms_roomId_event_eventId(self):
        return Request({"roomId": self.room, "eventId": self.message})

    def get_rooms_roomId_relations_eventId(self):
        return Request({"roomId": self.room, "eventId": self.message}, query={"limit": 5, "dir": "b"})

    def get_rooms_roomId_relations_eventId_relType(self):
        return Request({"roomId": self.room, "eventId": self.message, "relType": "m.thread"}, query={"limit": 5})

    def get_rooms_roomId_relations_eventId_relType_eventType(self):
        parameters = {"roomId": self.room, "eventId": self.message, "relType": "m.thread", "eventType": "m.room.message"}
        return Request(parameters, query={"limit": 5})

    def get_rooms_roomId_threads(self):
        return self.of_room(query={"limit": 5, "include": "all"})

    # Push rules

    def get_pushrules(self):
        return Request()

    def get_pushrules_global(self):
        return Request()

    def get_pushrules_global_kind_ruleId(self):
        return Request(self.own_rule())

    def put_pushrules_global_kind_ruleId(self):
        return Request({"kind": "content", "ruleId": unique("rule")}, body={"pattern": "x", "actions": ["notify"]}, required=("actions", "pattern"))

    def delete_pushrules_global_kind_ruleId(self):
        return Request(self.own_rule())

    def get_pushrules_global_kind_ruleId_actions(self):
        return Request(self.own_rule())

    def put_pushrules_global_kind_ruleId_actions(self):
        return Request(self.own_rule(), body={"actions": ["notify"]}, required=("actions",))

    def get_pushrules_global_kind_ruleId_enabled(self):
        return Request(self.own_rule())

    def put_pushrules_global_kind_ruleId_enabled(self):
        return Request(self.own_rule(), body={"enabled": False}, required=("enabled",))

    # Sync, keys, messages to devices

    def get_sync(self):
        return Request(query={"since": self.since, "timeout": 0})

    def post_keys_upload(self):
        keys = DeviceKeys(self.ana)
        names = unique("KEY")
        return Request(body={"device_keys": keys.device_keys(), "one_time_keys": keys.one_time_keys(names)})

    def post_keys_query(self):
        return Request(body={"device_keys": {self.bob.user_id: []}, "timeout": 1000}, required=("device_keys",))

    def post_keys_claim(self):
        body = {"one_time_keys": {self.bob.user_id: {self.bob.device_id: "signed_curve25519"}}, "timeout": 1000}
        return Request(body=body, required=("one_time_keys",))

    def get_keys_changes(self):
        return Request(query={"from": self.since, "to": self.ana.now()})

    def post_keys_signatures_upload(self):
        keys = DeviceKeys(self.ana)
        keys.upload()
        return Request(body={self.ana.user_id: {self.ana.device_id: keys.device_keys()}})

    def post_keys_device_signing_upload(self):
        return Request(body={**CrossSigning(self.ana).body(), "auth": self.ana.password_auth()})

    def put_sendToDevice_eventType_txnId(self):
        messages = {self.bob.user_id: {self.bob.device_id: {"x": 1}}}
        return Request({"eventType": "org.example.x", "txnId": next_txn()}, body={"messages": messages}, required=("messages",))

    # Key backup

    def post_room_keys_version(self):
        body = {"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {"public_key": "x", "signatures": {}}}
        return Request(body=body, required=("algorithm", "auth_data"))

    def get_room_keys_version(self):
        self.backup()
        return Request()

    def get_room_keys_version_version(self):
        return Request({"version": self.backup()})

    def put_room_keys_version_version(self):
        return Request({"version": self.backup()}, body=self.post_room_keys_version().body, required=("algorithm", "auth_data"))

    def delete_room_keys_version_version(self):
        return Request({"version": self.backup()})

    def get_room_keys_keys(self):
        return Request(query=self.filled_backup())

    def put_room_keys_keys(self):
        rooms = {self.room: {"sessions": {"session": self.session_key()}}}
        return Request(body={"rooms": rooms}, query={"version": self.backup()}, required=("rooms",))

    def delete_room_keys_keys(self):
        return Request(query=self.filled_backup())

    def get_room_keys_keys_roomId(self):
        return self.of_room(query=self.filled_backup())

    def put_room_keys_keys_roomId(self):
        body = {"sessions": {"session": self.session_key()}}
        return self.of_room(body=body, query={"version": self.backup()}, required=("sessions",))

    def delete_room_keys_keys_roomId(self):
        return self.of_room(query=self.filled_backup())

    def get_room_keys_keys_roomId_sessionId(self):
        return Request({"roomId": self.room, "sessionId": "session"}, query=self.filled_backup())

    def put_room_keys_keys_roomId_sessionId(self):
        body = self.session_key()
        return Request({"roomId": self.room, "sessionId": "session"}, body=body, query={"version": self.backup()}, required=tuple(body))

    def delete_room_keys_keys_roomId_sessionId(self):
        return Request({"roomId": self.room, "sessionId": "session"}, query=self.filled_backup())

    # Media

    def post_upload(self):
        return Request(data=b"data", query={"filename": "x.txt"})

    def post_matrix_media_v1_create(self):
        self.worn = True
        return Request()

    def put_upload_serverName_mediaId(self):
        self.worn = True
        server_name, media_id = self.ana.post("/_matrix/media/v1/create")["content_uri"][len("mxc://") :].split("/")
        return Request({"serverName": server_name, "mediaId": media_id}, data=b"data", query={"filename": "x.txt"})

    def get_config(self):
        return Request()

    def get_download_serverName_mediaId(self):
        """All media are new to us, and new media are not shown to everybody."""
        return Request(self.upload(), token=False, status=404)

    def get_download_serverName_mediaId_fileName(self):
        return Request({**self.upload(), "fileName": "name.txt"}, token=False, status=404)

    def get_media_config(self):
        return Request()

    def get_media_download_serverName_mediaId(self):
        return Request(self.upload())

    def get_media_download_serverName_mediaId_fileName(self):
        return Request({**self.upload(), "fileName": "name.txt"})


def name_of(path):
    """/_matrix/client/v3/rooms/{roomId}/state -> rooms_roomId_state"""
    for prefix in ("/_matrix/client/v1/", "/_matrix/client/v3/", "/_matrix/client/", "/_matrix/media/v3/", "/."):
        if path.startswith(prefix):
            path = path[len(prefix) :]
            break
    words = "".join(letter if letter.isalnum() else " " for letter in path).split()
    return "_".join(words)
