"""Synapse's registration with a shared secret (GET and POST /_synapse/admin/v1/register), and registration tokens."""

import hashlib
import hmac
import re

from support.client import PASSWORD, Client, unique

REGISTER = "/_synapse/admin/v1/register"


def shared_secret_mac(secret, nonce, username, password, admin=False, user_type=None):
    parts = [nonce, username, password, "admin" if admin else "notadmin"] + ([user_type] if user_type else [])
    return hmac.new(secret.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()


def register_with_secret(server, username, password=PASSWORD, admin=False, **body):
    """Registers an account without any user-interactive stage."""
    nobody = Client(server.transport)
    nonce = nobody.get(REGISTER)["nonce"]
    mac = shared_secret_mac(server.shared_secret, nonce, username, password, admin)
    body = {"nonce": nonce, "username": username, "password": password, "admin": admin, "mac": mac, **body}
    return nobody.with_session(nobody.post(REGISTER, body=body), password)


def registration_token(server):
    """A registration token of a server that asks for one: Hearth prints one at its first start, Synapse's admin API makes one."""
    if server.kind == "Synapse":
        admin = register_with_secret(server, unique("admin"), admin=True)
        return admin.post("/_synapse/admin/v1/registration_tokens/new")["token"]
    found = re.search(r"registration token\W+([A-Za-z0-9._~-]{8,64})", server.printed(), re.IGNORECASE)
    assert found, f"no registration token among what the server printed:\n{server.printed()[:2000]}"
    return found.group(1)
