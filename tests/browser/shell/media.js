// Service worker: the user interface asks for media at the old addresses, without the access token (an <img> can't send one).
// As Element's own service worker does, this one asks at the addresses that want it, and with it.
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

const OLD = /^\/_matrix\/media\/v3\/(download|thumbnail)\//;

function session(client) {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = (event) => resolve(event.data);
    client.postMessage("session", [channel.port2]);
  });
}

async function fetchMedia(event) {
  const url = new URL(event.request.url);
  const client = await self.clients.get(event.clientId);
  const { homeserver, token } = client ? await session(client) : {};
  if (!token || new URL(homeserver).origin !== url.origin) return fetch(event.request);
  url.pathname = url.pathname.replace(OLD, "/_matrix/client/v1/media/$1/");
  return fetch(url, { headers: { Authorization: `Bearer ${token}` } });
}

self.addEventListener("fetch", (event) => {
  if (OLD.test(new URL(event.request.url).pathname)) event.respondWith(fetchMedia(event));
});
