// Starts the user interface.
import React from "react";
import ReactDOM from "react-dom";
import PlatformPeg from "matrix-react-sdk/src/PlatformPeg";
import AutoDiscoveryUtils from "matrix-react-sdk/src/utils/AutoDiscoveryUtils";
import SdkConfig from "matrix-react-sdk/src/SdkConfig";
import MatrixChat from "matrix-react-sdk/src/components/structures/MatrixChat";
import BasePlatform from "matrix-react-sdk/src/BasePlatform";
import { MatrixClientPeg } from "matrix-react-sdk/src/MatrixClientPeg";
import { setLanguage } from "matrix-react-sdk/src/languageHandler";
import { setTheme } from "matrix-react-sdk/src/theme";

class Platform extends BasePlatform {
  constructor() {
    super();
  }

  async getConfig() {
    return SdkConfig.get();
  }

  getDefaultDeviceDisplayName() {
    return "Element in a test";
  }

  getHumanReadableName() {
    return "Test Platform";
  }

  async requestNotificationPermission() {
    return "denied";
  }

  async getAppVersion() {
    return "0";
  }

  reload() {
    window.location.reload();
  }
}

let ownHash = null; // the address's hash that the user interface set itself

function setScreen(screen) {
  ownHash = "#/" + screen;
  window.location.hash = ownHash;
}

function screenOfAddress() {
  const [path, query] = window.location.hash.replace(/^#\/?/, "").split("?");
  return { screen: decodeURIComponent(path), params: Object.fromEntries(new URLSearchParams(query)) };
}

async function serveMedia() {
  await navigator.serviceWorker.register("media.js");
  navigator.serviceWorker.addEventListener("message", (event) => {
    const client = MatrixClientPeg.get();
    event.ports[0].postMessage({ homeserver: client?.getHomeserverUrl(), token: client?.getAccessToken() });
  });
}

async function start() {
  const homeserver = new URLSearchParams(window.location.search).get("homeserver");
  PlatformPeg.set(new Platform());
  SdkConfig.add({ validated_server_config: await AutoDiscoveryUtils.validateServerConfigWithStaticUrls(homeserver) });
  await Promise.all([setLanguage("en"), setTheme(), serveMedia()]);
  window.matrixChat = ReactDOM.render(
    <MatrixChat
      config={SdkConfig.get()}
      enableGuest={false}
      onNewScreen={setScreen}
      initialScreenAfterLogin={screenOfAddress()}
      defaultDeviceDisplayName="Element in a test"
    />,
    document.getElementById("matrixchat"),
  );
  window.addEventListener("hashchange", () => {
    if (decodeURIComponent(window.location.hash) === ownHash) return;
    const { screen, params } = screenOfAddress();
    window.matrixChat.showScreen(screen, params);
  });
  if (!localStorage.getItem("mx_user_id")) {
    const { screen, params } = screenOfAddress();
    if (screen) window.matrixChat.showScreen(screen, params);
  }
}

start();
