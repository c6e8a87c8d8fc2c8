// Ana and bob meet in Element's user interface: node chat.mjs BUNDLE HOMESERVERS REGISTRATION_TOKEN SCREENSHOTS
// The first of the HOMESERVERS, separated by commas, is ana's, the last one bob's: processes of the same deployment.
// Prints what happens; exit status 0 means that all of it worked.
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { chromium } from "playwright-core";
import { Person } from "./person.mjs";
import { serve } from "./serve.mjs";

// Without these, Chromium asks hosts of its maker's for updates.
const QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-quic"];
const ROOM = "Kitchen";

const [bundle, homeservers, token, screenshots] = process.argv.slice(2);
const picture = path.join(import.meta.dirname, "picture.png");
const pictures = new Map();

async function step(what, people, action) {
  console.log(what);
  try {
    await action();
  } finally {
    const number = String(pictures.size + 1).padStart(2, "0");
    pictures.set(number, what);
    for (const person of people) {
      await person.page.screenshot({ path: path.join(screenshots, `${number}-${person.name}-${what.replaceAll(/\W+/g, "-")}.png`) });
    }
  }
}

async function sameForBoth(people) {
  for (const person of people) {
    await person.sees("Hello bob, is this private?");
    await person.sees("Hello ana. Nobody else can read it.");
    await person.seesReaction("Hello ana. Nobody else can read it.", "👍️");
    await person.seesEdited("Dinner is at eight");
    await person.seesRemoved("I did not mean to send this");
    await person.seesInThread("Dinner is at eight", "I will bring dessert");
    await person.seesPicture();
    await person.seesNothingUndecrypted();
  }
}

async function story(ana, bob) {
  const both = [ana, bob];
  await step("ana and bob register", both, () => Promise.all(both.map((person) => person.register(token))));
  await step("ana makes an encrypted room", [ana], () => ana.createRoom(ROOM));
  await step("ana sets up secure backup", [ana], () => ana.setUpSecureBackup());
  await step("ana invites bob", [ana], () => ana.invite(bob.userId));
  await step("bob accepts", [bob], () => bob.accept(ROOM));
  await step("bob sets up secure backup", [bob], () => bob.setUpSecureBackup());
  await step("they chat", both, async () => {
    await ana.say("Hello bob, is this private?");
    await bob.sees("Hello bob, is this private?");
    await bob.say("Hello ana. Nobody else can read it.");
    await ana.sees("Hello ana. Nobody else can read it.");
  });
  await step("ana reacts", both, async () => {
    await ana.react("Hello ana. Nobody else can read it.", "👍️");
    await bob.seesReaction("Hello ana. Nobody else can read it.", "👍️");
  });
  await step("bob corrects himself", both, async () => {
    await bob.say("Dinner is at seven");
    await ana.sees("Dinner is at seven");
    await bob.edit("Dinner is at seven", "Dinner is at eight");
    await ana.seesEdited("Dinner is at eight");
  });
  await step("ana removes a message", both, async () => {
    await ana.say("I did not mean to send this");
    await bob.sees("I did not mean to send this");
    await ana.remove("I did not mean to send this");
    await bob.seesRemoved("I did not mean to send this");
  });
  await step("ana replies in a thread", both, async () => {
    await ana.replyInThread("Dinner is at eight", "I will bring dessert");
    await bob.seesInThread("Dinner is at eight", "I will bring dessert");
  });
  await step("bob sends a picture", both, async () => {
    await bob.sendPicture(picture);
    await ana.seesPicture();
  });
  await step("both reload and all is there", both, async () => {
    await Promise.all(both.map((person) => person.reload()));
    await sameForBoth(both);
  });
  await step("both clear the cache and all comes back", both, async () => {
    await Promise.all(both.map((person) => person.clearCacheAndReload()));
    await sameForBoth(both);
  });
}

const server = await serve(bundle);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", chromiumSandbox: process.getuid() !== 0, args: QUIET });
try {
  await mkdir(screenshots, { recursive: true });
  const address = (homeserver) => `http://127.0.0.1:${server.address().port}/?homeserver=${encodeURIComponent(homeserver)}`;
  const urls = homeservers.split(",");
  const people = [await Person.open(browser, address(urls.at(0)), "ana"), await Person.open(browser, address(urls.at(-1)), "bob")];
  try {
    await story(...people);
  } finally {
    await Promise.all(people.map((person) => person.record(screenshots)));
  }
} finally {
  await browser.close();
  server.close();
}
