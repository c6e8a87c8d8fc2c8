// A device of somebody: matrix-js-sdk with its Rust cryptography, everything in memory.
import { createClient, EventType, Method, MsgType, Preset } from "matrix-js-sdk";

const PATIENCE_MS = 60000; // for what should come at once: a sanitizer build on a busy machine

// What may explain a failure.
const logger = { trace() {}, debug() {}, info() {}, warn: console.log, error: console.log, getChild: () => logger };

// Waits until condition() gives something, and returns that.
export async function until(what, condition) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_MS / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export function check(what, truth) {
  if (!truth) throw new Error(`should be so: ${what}`);
}

export class Device {
  // recoveryKey, if known, opens the secret storage.
  static async login(homeserver, { user, password }, recoveryKey) {
    const device = new Device();
    const { user_id: userId, device_id: deviceId, access_token: accessToken } = await createClient({ baseUrl: homeserver, logger }).loginRequest({
      type: "m.login.password",
      identifier: { type: "m.id.user", user },
      password,
    });
    device.password = password;
    device.recoveryKey = recoveryKey;
    device.client = createClient({
      baseUrl: homeserver,
      logger,
      userId,
      deviceId,
      accessToken,
      timelineSupport: true,
      fetchFn: async (...request) => {
        await device.connected;
        return fetch(...request);
      },
      cryptoCallbacks: { getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], device.recoveryKey.privateKey] },
    });
    await device.client.initRustCrypto({ useIndexedDB: false });
    await device.client.startClient({ initialSyncLimit: 20, lazyLoadMembers: true, threadSupport: true });
    await until(`${userId} has synced`, () => device.client.isInitialSyncComplete());
    return device;
  }

  get userId() {
    return this.client.getUserId();
  }

  get deviceId() {
    return this.client.getDeviceId();
  }

  get crypto() {
    return this.client.getCrypto();
  }

  stop() {
    this.client.stopClient();
  }

  // Nothing more is asked of the server until the function is called that this returns.
  disconnect() {
    let reconnect;
    this.connected = new Promise((resolve) => (reconnect = resolve));
    return reconnect;
  }

  // Uploads the keys of user-interactive authentication's first try, or asks with the password.
  async bootstrapCrossSigning() {
    const authUploadDeviceSigningKeys = async (request) => {
      try {
        return await request(null);
      } catch (error) {
        if (error.httpStatus !== 401) throw error;
        const { session } = error.data;
        const identifier = { type: "m.id.user", user: this.userId };
        return request({ type: "m.login.password", identifier, password: this.password, session });
      }
    };
    await this.crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys });
    await until("cross-signing is ready", () => this.crypto.isCrossSigningReady());
  }

  // Secret storage with a recovery key, the private keys in it, and a backup of room keys.
  async bootstrapSecretStorage() {
    this.recoveryKey = await this.crypto.createRecoveryKeyFromPassphrase();
    await this.crypto.bootstrapSecretStorage({
      createSecretStorageKey: async () => this.recoveryKey,
      setupNewSecretStorage: true,
      setupNewKeyBackup: true,
    });
    await until("secret storage is ready", () => this.crypto.isSecretStorageReady());
    return this.recoveryKey;
  }

  async createEncryptedRoom(...invited) {
    const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
    const { room_id: room } = await this.client.createRoom({
      preset: Preset.PrivateChat,
      invite: invited.map((other) => other.userId),
      initial_state: [encryption],
    });
    for (const other of invited) {
      await until(`${other.userId} is invited`, () => other.client.getRoom(room)?.getMyMembership() === "invite");
      await other.client.joinRoom(room);
    }
    for (const person of [this, ...invited]) {
      await until(`${person.userId} sees everybody in the room`, async () => {
        const members = person.client.getRoom(room)?.getJoinedMembers() ?? [];
        return members.length === invited.length + 1 && (await person.crypto.isEncryptionEnabledInRoom(room));
      });
    }
    return room;
  }

  async say(room, body) {
    const { event_id: id } = await this.client.sendEvent(room, EventType.RoomMessage, { msgtype: MsgType.Text, body });
    return id;
  }

  // Waits for the message and returns its event: it was sent encrypted and could be decrypted.
  async sees(room, body) {
    const find = () =>
      this.client
        .getRoom(room)
        ?.getLiveTimeline()
        .getEvents()
        .find((event) => event.getContent().body === body);
    const event = await until(`${this.userId} ${this.deviceId} reads "${body}"`, find);
    check(`"${body}" was sent encrypted`, event.isEncrypted() && event.getWireType() === EventType.RoomMessageEncrypted);
    return event;
  }

  // How many room keys the server has in the backup.
  async backedUpKeys() {
    return (await this.client.http.authedRequest(Method.Get, "/room_keys/version")).count;
  }

  async devicesOf(person) {
    const devices = await this.crypto.getUserDeviceInfo([person.userId], true);
    return [...(devices.get(person.userId)?.keys() ?? [])];
  }
}

// Runs a story with what the test gave as JSON, then ends the program whatever is still running.
export async function run(story) {
  try {
    await story(JSON.parse(process.argv[2]));
    console.log("all of it worked");
    process.exit(0);
  } catch (error) {
    console.log(error);
    process.exit(1);
  }
}
