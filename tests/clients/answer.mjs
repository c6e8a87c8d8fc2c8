// Bob accepts the invitation that he gets, and answers the greeting.
import { Device, run, until } from "./device.mjs";

run(async ({ homeservers, bob: account, greeting, answer }) => {
  const bob = await Device.login(homeservers.at(-1), account);
  const { roomId } = await until("an invitation", () => bob.client.getRooms().find((room) => room.getMyMembership() === "invite"));
  await bob.client.joinRoom(roomId);
  await bob.sees(roomId, greeting);
  await bob.say(roomId, answer);
});
