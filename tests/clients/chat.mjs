// Ana and bob write to each other in an encrypted room; a device that bob gets later is noticed, and reads what follows.
import { check, Device, run, until } from "./device.mjs";

run(async ({ homeservers, ana: anasAccount, bob: bobsAccount }) => {
  const ana = await Device.login(homeservers.at(0), anasAccount);
  const bob = await Device.login(homeservers.at(-1), bobsAccount);
  const room = await ana.createEncryptedRoom(bob);

  await ana.say(room, "Hello bob");
  await bob.sees(room, "Hello bob");
  await bob.say(room, "Hello ana");
  await ana.sees(room, "Hello ana");

  const tablet = await Device.login(homeservers.at(0), bobsAccount);
  await until("ana knows bob's second device", async () => {
    const devices = await ana.crypto.getUserDeviceInfo([bob.userId]);
    return devices.get(bob.userId)?.has(tablet.deviceId);
  });
  check("the server lists both devices", (await ana.devicesOf(bob)).length === 2);
  await ana.say(room, "Can you read this there, too?");
  await Promise.all([bob, tablet].map((device) => device.sees(room, "Can you read this there, too?")));
  await tablet.say(room, "Yes, here");
  await Promise.all([ana, bob].map((device) => device.sees(room, "Yes, here")));

  await tablet.client.logout(true);
  await until("ana knows that it is gone", async () => {
    const devices = await ana.crypto.getUserDeviceInfo([bob.userId]);
    return !devices.get(bob.userId)?.has(tablet.deviceId);
  });
});
