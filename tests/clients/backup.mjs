// Ana loses her only device. With the recovery key a new one gets the private keys and the room keys from the server, and reads
// what was written before.
import { check, Device, run, until } from "./device.mjs";

run(async ({ homeservers, ana: anasAccount, bob: bobsAccount }) => {
  const lost = await Device.login(homeservers.at(0), anasAccount);
  const bob = await Device.login(homeservers.at(-1), bobsAccount);
  check("there is no backup yet", (await lost.crypto.getKeyBackupInfo()) === null);
  await lost.bootstrapCrossSigning();
  const recoveryKey = await lost.bootstrapSecretStorage();
  const room = await lost.createEncryptedRoom(bob);
  await lost.say(room, "Remember the blue door");
  await bob.sees(room, "Remember the blue door");
  await bob.say(room, "And the green one");
  await lost.sees(room, "And the green one");
  await until("both room keys are backed up", async () => (await lost.backedUpKeys()) === 2);
  await lost.client.logout(true);

  const found = await Device.login(homeservers.at(-1), anasAccount, recoveryKey);
  const unreadable = () => found.client.getRoom(room).getLiveTimeline().getEvents().filter((event) => event.isDecryptionFailure());
  await until("the new device cannot read what was written before", () => unreadable().length === 2);
  check("the server has ana's public keys", await found.crypto.userHasCrossSigningKeys(found.userId, true));
  await found.bootstrapCrossSigning();
  await found.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
  check("the backup is trusted", (await found.crypto.checkKeyBackupAndEnable()) !== null);
  const { total, imported } = await found.crypto.restoreKeyBackup();
  check(`all ${total} room keys came back`, imported === total && total >= 2);
  await found.sees(room, "Remember the blue door");
  await found.sees(room, "And the green one");
  check("the new device is signed by ana", (await bob.devicesOf(found)).includes(found.deviceId));
  await until("bob sees that, too", async () => (await bob.crypto.getDeviceVerificationStatus(found.userId, found.deviceId))?.signedByOwner);
});
