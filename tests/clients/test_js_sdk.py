"""matrix-js-sdk, without a browser, with its Rust cryptography: what Element does. Each script here is one story."""

import json
import pytest

STORY_SECONDS = 240


@pytest.mark.timeout(900)
@pytest.mark.parametrize("story", ["chat", "rooms", "verify", "backup"])
def test_story(story, workspace, server, ana, bob):
    people = {name: {"user": user.user_id, "password": user.password} for name, user in (("ana", ana), ("bob", bob))}
    print(workspace.node(f"{story}.mjs", json.dumps({"homeservers": server.urls, **people}), seconds=STORY_SECONDS))
