"""Devices' and users' keys as a client makes them, with real Ed25519 signatures."""

import base64
import copy
import json
import os

from nacl.signing import SigningKey

ALGORITHMS = ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"]


def unpadded(raw):
    return base64.b64encode(raw).decode().rstrip("=")


def random_key():
    return unpadded(os.urandom(32))


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Ed25519:
    """A key pair; `identifier` is what it is called in signatures."""

    def __init__(self, name=None):
        self.secret = SigningKey.generate()
        self.public = unpadded(bytes(self.secret.verify_key))
        self.identifier = "ed25519:" + (name or self.public)

    def sign(self, user_id, value):
        """A copy of the object with this key's signature added."""
        signed = copy.deepcopy(value)
        bare = {key: part for key, part in signed.items() if key not in ("signatures", "unsigned")}
        signature = unpadded(self.secret.sign(canonical(bare)).signature)
        signed.setdefault("signatures", {}).setdefault(user_id, {})[self.identifier] = signature
        return signed


class DeviceKeys:
    """The identity keys of a client's device, and one-time keys made from them."""

    def __init__(self, client):
        self.client = client
        self.ed25519 = Ed25519(client.device_id)
        self.curve25519 = random_key()

    def device_keys(self):
        device_id = self.client.device_id
        keys = {f"curve25519:{device_id}": self.curve25519, f"ed25519:{device_id}": self.ed25519.public}
        body = {"user_id": self.client.user_id, "device_id": device_id, "algorithms": ALGORITHMS, "keys": keys}
        return self.ed25519.sign(self.client.user_id, body)

    def one_time_keys(self, *names, fallback=False):
        body = {"fallback": True} if fallback else {}
        return {"signed_curve25519:" + name: self.ed25519.sign(self.client.user_id, {"key": random_key(), **body}) for name in names}

    def upload(self, **body):
        return self.client.post("/keys/upload", body={"device_keys": self.device_keys(), **body})


class CrossSigning:
    """The three cross-signing keys of a user."""

    def __init__(self, client):
        self.user_id = client.user_id
        self.master, self.self_signing, self.user_signing = Ed25519(), Ed25519(), Ed25519()

    def public_part(self, key, usage):
        return {"user_id": self.user_id, "usage": [usage], "keys": {key.identifier: key.public}}

    def body(self):
        return {
            "master_key": self.public_part(self.master, "master"),
            "self_signing_key": self.master.sign(self.user_id, self.public_part(self.self_signing, "self_signing")),
            "user_signing_key": self.master.sign(self.user_id, self.public_part(self.user_signing, "user_signing")),
        }
