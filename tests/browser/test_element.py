"""Element's own user interface in headless Chromium: what ana and bob do, chat.mjs tells.

HEARTH_SCREENSHOTS: where the pictures of each step go, to be looked at; a folder of the test's own by default.
CHROMIUM: the browser, default /usr/bin/chromium.
"""

import os
from pathlib import Path

import pytest

from support.npm import Workspace
from support.registration import registration_token

HERE = Path(__file__).resolve().parent


@pytest.mark.own_server
@pytest.mark.timeout(900)
def test_two_people_register_and_chat_encrypted(make_deployment, tmp_path):
    workspace = Workspace(HERE)
    inputs = sorted([HERE / "build.mjs", HERE / "package-lock.json", *(HERE / "shell").iterdir()])
    bundle = workspace.built("bundle", inputs, lambda folder: workspace.node("build.mjs", folder, seconds=120))
    server = make_deployment(enable_registration_without_verification=None, registration_requires_token=True)
    screenshots = Path(os.environ.get("HEARTH_SCREENSHOTS") or tmp_path / "screenshots").resolve()

    print(workspace.node("chat.mjs", bundle, ",".join(server.urls), registration_token(server), screenshots, seconds=600))
    assert not server.new_problems()
