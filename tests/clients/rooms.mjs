// What a room is made of beside its messages: gaps, history, receipts and counts, threads, typing, people who come and go.
import { EventTimeline, NotificationCountType, RoomMemberEvent, Direction, Preset } from "matrix-js-sdk";
import { check, Device, run, until } from "./device.mjs";

const MESSAGES = 45; // more than a sync brings

// The oldest part of what the device has of the room without a gap up to now.
function oldest(room) {
  let timeline = room.getLiveTimeline();
  for (let before; (before = timeline.getNeighbouringTimeline(Direction.Backward)); ) timeline = before;
  return timeline;
}

function eventsOf(room) {
  const events = [];
  for (let timeline = oldest(room); timeline; timeline = timeline.getNeighbouringTimeline(Direction.Forward)) events.push(...timeline.getEvents());
  return events;
}

function texts(room) {
  return eventsOf(room)
    .map((event) => event.getContent().body)
    .filter(Boolean);
}

const numbered = (count) => Array.from({ length: count }, (_, number) => `message ${number + 1}`);

async function isIn(device, room, membership) {
  return until(`${device.userId}: ${membership}`, () => device.client.getRoom(room)?.getMyMembership() === membership);
}

async function meet(ana, bob) {
  const name = `yard${Date.now()}`;
  const { room_id: room } = await ana.client.createRoom({ preset: Preset.PublicChat, name: "Yard", topic: "Weeds", room_alias_name: name });
  const alias = `#${name}:${ana.client.getDomain()}`;
  check("the alias leads to the room", (await bob.client.getRoomIdForAlias(alias)).room_id === room);
  await bob.client.joinRoom(alias);
  await isIn(bob, room, "join");
  await until("ana sees bob", () => ana.client.getRoom(room).getJoinedMembers().length === 2);
  return room;
}

// Bob's device hears nothing for a while, then has to fill what it missed.
async function fillTheGap(ana, bob, room) {
  const reconnect = bob.disconnect();
  for (const text of numbered(MESSAGES)) await ana.say(room, text);
  await ana.client.setRoomTopic(room, "Flowers");
  const last = await ana.say(room, "the end");
  reconnect();
  const yard = bob.client.getRoom(room);
  await until("bob sees the end", () => texts(yard).includes("the end"));
  check("the topic changed", yard.currentState.getStateEvents("m.room.topic", "").getContent().topic === "Flowers");
  while (await bob.client.paginateEventTimeline(oldest(yard), { backwards: true, limit: 10 }));
  check("nothing is missing, nothing is there twice", JSON.stringify(texts(yard)) === JSON.stringify([...numbered(MESSAGES), "the end"]));
  check("it goes back to the beginning", eventsOf(yard)[0].getType() === "m.room.create");
  check("ana has no echo twice", new Set(texts(ana.client.getRoom(room))).size === texts(ana.client.getRoom(room)).length);
  return last;
}

async function read(ana, bob, room, last) {
  const yard = bob.client.getRoom(room);
  const unread = (type) => yard.getRoomUnreadNotificationCount(type);
  await until("all is unread", () => unread(NotificationCountType.Total) === MESSAGES + 1);
  await bob.client.sendReadReceipt(yard.findEventById(last));
  await until("nothing is unread", () => unread(NotificationCountType.Total) === 0);
  await until("ana sees how far bob has read", () => ana.client.getRoom(room).getEventReadUpTo(bob.userId) === last);
  const content = { msgtype: "m.text", body: "You there!", "m.mentions": { user_ids: [bob.userId] } };
  await ana.client.sendEvent(room, "m.room.message", content);
  await until("bob is meant", () => unread(NotificationCountType.Highlight) === 1);
}

async function openAnOldMessage(bob, room) {
  const yard = bob.client.getRoom(room);
  const first = eventsOf(yard).find((event) => event.getContent().body === "message 20").getId();
  const timeline = await bob.client.getEventTimeline(yard.getUnfilteredTimelineSet(), first);
  check("the message is in the timeline", timeline.getEvents().some((event) => event.getId() === first));
  check("with its state", timeline.getState(EventTimeline.FORWARDS).getStateEvents("m.room.name", "").getContent().name === "Yard");
  const context = await bob.client.http.authedRequest("GET", `/rooms/${encodeURIComponent(room)}/context/${encodeURIComponent(first)}`, { limit: "6" });
  const bodies = (events) => events.map((event) => event.content.body).join();
  check("before it", bodies(context.events_before) === "message 19,message 18,message 17");
  check("after it", bodies(context.events_after) === "message 21,message 22,message 23");
  const page = (from, dir) => bob.client.createMessagesRequest(room, from, 2, dir);
  check("further back", bodies((await page(context.start, Direction.Backward)).chunk) === "message 16,message 15");
  check("further on", bodies((await page(context.end, Direction.Forward)).chunk) === "message 24,message 25");
}

async function talkInAThread(ana, bob, room, root) {
  const relation = { rel_type: "m.thread", event_id: root, is_falling_back: true, "m.in_reply_to": { event_id: root } };
  for (const body of ["one", "two"]) {
    await ana.client.sendEvent(room, root, "m.room.message", { msgtype: "m.text", body, "m.relates_to": relation });
  }
  const yard = bob.client.getRoom(room);
  const thread = await until("bob has the thread", () => yard.getThread(root)?.length === 2 && yard.getThread(root));
  await until("its last answer", () => thread.replyToEvent?.getContent().body === "two");
  await until("it is unread", () => yard.getThreadUnreadNotificationCount(root, NotificationCountType.Total) === 2);
  await bob.client.sendReadReceipt(thread.replyToEvent);
  await until("it is read", () => yard.getThreadUnreadNotificationCount(root, NotificationCountType.Total) === 0);
  const { chunk } = await bob.client.createThreadListMessagesRequest(room, null, 10, Direction.Backward);
  check("the list of threads has it", chunk.length === 1 && chunk[0].event_id === root && chunk[0].unsigned["m.relations"]["m.thread"].count === 2);
}

async function react(ana, bob, room, id) {
  await bob.client.sendEvent(room, "m.reaction", { "m.relates_to": { rel_type: "m.annotation", event_id: id, key: "🌷" } });
  await until("ana sees the flower", () => {
    const relations = ana.client.getRoom(room).relations.getChildEventsForEvent(id, "m.annotation", "m.reaction");
    return relations?.getSortedAnnotationsByKey()?.some(([key, events]) => key === "🌷" && events.size === 1);
  });
  const { events } = await ana.client.relations(room, id, "m.annotation", "m.reaction");
  check("the server has it, too", events.length === 1 && events[0].getSender() === bob.userId);
}

async function type(ana, bob, room) {
  const typing = new Promise((resolve) => ana.client.on(RoomMemberEvent.Typing, (_, member) => member.userId === bob.userId && resolve()));
  await bob.client.sendTyping(room, true, 5000);
  await typing;
  await bob.client.sendTyping(room, false, 0);
  await until("bob has stopped", () => !ana.client.getRoom(room).getMember(bob.userId).typing);
}

// One device writes, the other one hears.
async function keep(bob, tablet, room) {
  await bob.client.setAccountData("net.example.colour", { is: "green" });
  await bob.client.setRoomTag(room, "m.favourite", { order: 0.5 });
  await until("the tablet knows the colour", () => tablet.client.getAccountData("net.example.colour")?.getContent().is === "green");
  await until("and the tag", () => tablet.client.getRoom(room)?.tags["m.favourite"]?.order === 0.5);
  await bob.client.setDisplayName("Bob the Gardener");
  await until("the new name", () => tablet.client.getRoom(room).getMember(bob.userId).name === "Bob the Gardener");
}

async function comeAndGo(ana, bob, room) {
  await ana.client.kick(room, bob.userId, "too loud");
  await isIn(bob, room, "leave");
  await ana.say(room, "He is gone");
  await bob.client.joinRoom(room);
  await isIn(bob, room, "join");
  await ana.say(room, "Welcome back");
  await until("bob reads again", () => texts(bob.client.getRoom(room)).includes("Welcome back"));
  await ana.client.ban(room, bob.userId);
  await isIn(bob, room, "ban");
  await ana.client.unban(room, bob.userId);
  await isIn(bob, room, "leave");
  await ana.client.invite(room, bob.userId);
  await isIn(bob, room, "invite");
  check("the invitation says where", bob.client.getRoom(room).name === "Yard");
  await bob.client.leave(room);
  await isIn(bob, room, "leave");
  await bob.client.forget(room);
  await until("ana is alone", () => ana.client.getRoom(room).getJoinedMembers().length === 1);
}

run(async ({ homeservers, ana: anasAccount, bob: bobsAccount }) => {
  const ana = await Device.login(homeservers.at(0), anasAccount);
  const bob = await Device.login(homeservers.at(-1), bobsAccount);
  const tablet = await Device.login(homeservers.at(0), bobsAccount);
  const room = await meet(ana, bob);
  const last = await fillTheGap(ana, bob, room);
  await read(ana, bob, room, last);
  await openAnOldMessage(bob, room);
  await react(ana, bob, room, last);
  await talkInAThread(ana, bob, room, last);
  await type(ana, bob, room);
  await keep(bob, tablet, room);
  await comeAndGo(ana, bob, room);
});
