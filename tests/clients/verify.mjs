// Ana's new device and her old one compare emoji; then the new one is signed and has the private keys of cross-signing.
// Then bob and ana do the same, and trust each other.
import { CryptoEvent, VerificationPhase, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";
import { check, Device, run, until } from "./device.mjs";

function nextRequest(device) {
  return new Promise((resolve) => device.client.once(CryptoEvent.VerificationRequestReceived, resolve));
}

// Both sides show seven emoji: the same ones.
async function compareEmoji(asking, asked) {
  await asked.accept();
  await until("the request is ready", () => asking.phase === VerificationPhase.Ready);
  const verifiers = [await asking.startVerification("m.sas.v1")];
  verifiers.push(await until("the other side starts", () => asked.verifier));
  const shown = verifiers.map((verifier) => new Promise((resolve) => verifier.once(VerifierEvent.ShowSas, resolve)));
  const done = verifiers.map((verifier) => verifier.verify());
  const sas = await Promise.all(shown);
  check("both see the same emoji", JSON.stringify(sas[0].sas.emoji) === JSON.stringify(sas[1].sas.emoji) && sas[0].sas.emoji.length === 7);
  await Promise.all(sas.map((callbacks) => callbacks.confirm()));
  await Promise.all(done);
}

run(async ({ homeservers, ana: anasAccount, bob: bobsAccount }) => {
  const ana = await Device.login(homeservers.at(0), anasAccount);
  await ana.bootstrapCrossSigning();
  const tablet = await Device.login(homeservers.at(-1), anasAccount);
  let received = nextRequest(ana);
  await compareEmoji(await tablet.crypto.requestOwnUserVerification(), await received);
  const signed = async (device, owner) => (await device.crypto.getDeviceVerificationStatus(owner.userId, owner.deviceId))?.signedByOwner;
  await until("ana's devices are signed by her", async () => (await signed(ana, tablet)) && (await signed(tablet, ana)));
  await until("the tablet has the private keys", () => tablet.crypto.isCrossSigningReady());

  const bob = await Device.login(homeservers.at(-1), bobsAccount);
  await bob.bootstrapCrossSigning();
  const room = await ana.createEncryptedRoom(bob);
  received = nextRequest(bob);
  await compareEmoji(await ana.crypto.requestVerificationDM(bob.userId, room), await received);
  const trusts = async (device, other) => (await device.crypto.getUserVerificationStatus(other.userId)).isCrossSigningVerified();
  await until("they trust each other", async () => (await trusts(ana, bob)) && (await trusts(bob, ana)));
  await until("ana's tablet trusts bob, too", () => trusts(tablet, bob));
});
