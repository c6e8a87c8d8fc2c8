"""matrix-nio: what bots are written with. Logs in with a password, syncs, encrypts with Olm and Megolm."""

import asyncio
import json
import time
from contextlib import AsyncExitStack

import nio
import pytest
from nio.crypto.sas import SasState

PATIENCE_SECONDS = 60  # for what should come at once: a sanitizer build on a busy machine
SYNC_MS = 2000


class Bot:
    """A device of somebody. Collects what it could decrypt, and what it could not."""

    def __init__(self, url, user, folder):
        folder.mkdir()
        config = nio.AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True)
        self.client = nio.AsyncClient(url, user.user_id, store_path=str(folder), config=config)
        self.password = user.password
        self.read = []
        self.unreadable = []
        self.client.add_event_callback(lambda room, event: self.read.append(event), nio.RoomMessageText)
        self.client.add_event_callback(lambda room, event: self.unreadable.append(event), nio.MegolmEvent)

    async def __aenter__(self):
        done(await self.client.login(self.password, device_name="bot"), nio.LoginResponse)
        done(await self.client.sync(full_state=True), nio.SyncResponse)
        if self.client.should_upload_keys:
            done(await self.client.keys_upload(), nio.KeysUploadResponse)
        return self

    async def __aexit__(self, *_):
        await self.client.close()

    async def sync(self):
        """One long poll, and what a client owes afterwards: key uploads, queries, claims, to-device messages."""
        done(await self.client.sync(timeout=SYNC_MS), nio.SyncResponse)
        await self.client.send_to_device_messages()
        if self.client.should_upload_keys:
            done(await self.client.keys_upload(), nio.KeysUploadResponse)
        if self.client.should_query_keys:
            done(await self.client.keys_query(), nio.KeysQueryResponse)
        if self.client.should_claim_keys:
            done(await self.client.keys_claim(self.client.get_users_for_key_claiming()), nio.KeysClaimResponse)

    async def until(self, what, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{self.client.user_id}: not within {PATIENCE_SECONDS} s: {what}"
            await self.sync()

    async def create_encrypted_room(self, *others):
        encryption = nio.EnableEncryptionBuilder().as_dict()
        invite = [other.client.user_id for other in others]
        room = done(await self.client.room_create(invite=invite, initial_state=[encryption]), nio.RoomCreateResponse).room_id
        for other in others:
            await other.until("the invitation", lambda: room in other.client.invited_rooms)
            done(await other.client.join(room), nio.JoinResponse)
        for member in (self, *others):
            await member.until("everybody in the room", lambda: member.knows(room, len(others) + 1))
        return room

    def knows(self, room, members):
        known = self.client.rooms.get(room)
        return known is not None and known.encrypted and len([user for user in known.users if user not in known.invited_users]) == members

    async def say(self, room, text):
        content = {"msgtype": "m.text", "body": text}
        return done(await self.client.room_send(room, "m.room.message", content, ignore_unverified_devices=True), nio.RoomSendResponse).event_id

    async def sees(self, text):
        """Waits for the message, which must have come encrypted."""
        await self.until(f"the message {text!r}", lambda: any(event.body == text for event in self.read))
        event = next(event for event in self.read if event.body == text)
        assert event.decrypted
        assert not self.unreadable
        return event

    def devices_of(self, other):
        return {device.id for device in self.client.device_store.active_user_devices(other.client.user_id)}


def done(response, expected):
    assert isinstance(response, expected), response
    return response


@pytest.fixture
def bots(server, tmp_path):
    """bots(story, ana, bob…) runs story(bot of ana, bot of bob…): the first talks to the first process, the others to the last."""

    def run(story, *users):
        async def with_bots():
            async with AsyncExitStack() as stack:
                await story(*[await stack.enter_async_context(make(index, user)) for index, user in enumerate(users)])

        def make(index, user):
            return Bot(server.urls[0 if index == 0 else -1], user, tmp_path / f"{index}-{user.localpart}")

        asyncio.run(with_bots())

    return run


def test_messages_go_both_ways_in_an_encrypted_room(bots, ana, bob):
    async def story(anas, bobs):
        room = await anas.create_encrypted_room(bobs)
        await anas.say(room, "Hello bob")
        assert (await bobs.sees("Hello bob")).sender == ana.user_id
        await bobs.say(room, "Hello ana")
        assert (await anas.sees("Hello ana")).sender == bob.user_id

    bots(story, ana, bob)


def test_a_new_device_is_noticed_and_can_read(bots, ana, bob):
    async def story(anas, bobs, tablet):
        room = await anas.create_encrypted_room(bobs)
        both = {bobs.client.device_id, tablet.client.device_id}
        await anas.until("both devices of bob", lambda: both <= anas.devices_of(bobs))
        await anas.say(room, "Can you read this there, too?")
        await bobs.sees("Can you read this there, too?")
        await tablet.sees("Can you read this there, too?")

        done(await tablet.client.logout(), nio.LogoutResponse)
        await anas.until("that it is gone", lambda: tablet.client.device_id not in anas.devices_of(bobs))
        await anas.say(room, "Just the two of us")
        await bobs.sees("Just the two of us")

    bots(story, ana, bob, bob)


def test_two_bots_verify_each_other(bots, ana, bob):
    async def story(anas, bobs):
        await anas.create_encrypted_room(bobs)
        await anas.until("bob's device", lambda: bobs.client.device_id in anas.devices_of(bobs))
        await bobs.until("ana's device", lambda: anas.client.device_id in bobs.devices_of(anas))
        device = anas.client.device_store[bob.user_id][bobs.client.device_id]
        done(await anas.client.start_key_verification(device), nio.ToDeviceResponse)
        transaction = next(iter(anas.client.key_verifications))

        await bobs.until("the request", lambda: transaction in bobs.client.key_verifications)
        done(await bobs.client.accept_key_verification(transaction), nio.ToDeviceResponse)
        sas = [bot.client.key_verifications[transaction] for bot in (anas, bobs)]
        await exchange(anas, bobs, lambda: all(one.state is SasState.key_received for one in sas))
        assert sas[0].get_emoji() == sas[1].get_emoji()
        for bot in (anas, bobs):
            done(await bot.client.confirm_short_auth_string(transaction), nio.ToDeviceResponse)
        await exchange(anas, bobs, lambda: all(one.verified for one in sas))
        assert device.verified

    bots(story, ana, bob)


@pytest.mark.timeout(300)
def test_another_implementation_answers(bots, workspace, server, ana, bob):
    """Bob uses matrix-js-sdk: two implementations of the encryption have to agree about what the server gave them."""

    async def story(anas):
        encryption = nio.EnableEncryptionBuilder().as_dict()
        answer = {"bob": {"user": bob.user_id, "password": bob.password}, "greeting": "Hello from nio", "answer": "Hello from js-sdk"}
        bobs = asyncio.create_task(
            asyncio.to_thread(workspace.node, "answer.mjs", json.dumps({"homeservers": server.urls, **answer}), seconds=240)
        )
        room = done(await anas.client.room_create(invite=[bob.user_id], initial_state=[encryption]), nio.RoomCreateResponse).room_id
        await anas.until("that bob joins", lambda: bobs.done() or anas.knows(room, 2))
        await anas.say(room, "Hello from nio")
        await anas.until("the answer", lambda: bobs.done() or any(event.body == "Hello from js-sdk" for event in anas.read))
        print(await bobs)
        await anas.sees("Hello from js-sdk")

    bots(story, ana)


async def exchange(one, other, condition):
    """Both sync in turns until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s"
        await asyncio.gather(one.sync(), other.sync())
