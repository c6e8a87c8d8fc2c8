// The smallest page that Element's user interface runs in: it says which homeserver to use, keeps the screen in the address,
// and lets a service worker put the access token on requests for media, as Element's own page does.
import "matrix-js-sdk/src/browser-index";
import SdkConfig from "matrix-react-sdk/src/SdkConfig";

// Some modules read the configuration when they are loaded, so it has to be there before.
SdkConfig.put({
  brand: "Element",
  disable_guests: true,
  help_url: "about:blank",
  setting_defaults: { useBundledEmojiFont: true }, // a test machine may have none
});
import("./app.jsx");
