// A person at Element's user interface: each method does what people do there, and waits until it shows.
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expect } from "./expect.mjs";

const PASSWORD = "correct horse battery staple 9";

export class Person {
  constructor(page, name) {
    this.page = page;
    this.name = name;
    this.console = [];
    this.timeline = page.locator(".mx_RoomView_timeline");
    this.thread = page.locator(".mx_ThreadView");
  }

  static async open(browser, address, name) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, permissions: ["clipboard-read", "clipboard-write"] });
    const page = await context.newPage();
    page.setDefaultTimeout(60000); // a sanitizer build on a busy machine;
    const person = new Person(page, name);
    page.on("console", (message) => person.console.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => person.console.push(`uncaught: ${error.stack}`));
    await page.goto(address);
    return person;
  }

  // What the page says and shows at this moment, for whoever looks at a failure.
  async record(folder) {
    await writeFile(path.join(folder, `${this.name}.log`), this.console.join("\n"));
    await writeFile(path.join(folder, `${this.name}.html`), await this.page.content());
  }

  button(name, within = this.page) {
    return within.getByRole("button", { name, exact: true });
  }

  // Returns the user ID.
  async register(token) {
    await this.page.evaluate(() => (window.location.hash = "#/register"));
    await this.page.getByPlaceholder("Username").fill(this.name);
    await this.page.getByPlaceholder("Password", { exact: true }).fill(PASSWORD);
    await this.page.getByPlaceholder("Confirm password").fill(PASSWORD);
    await this.button("Register").click();
    await this.page.getByLabel("Registration token").fill(token);
    await this.button("Continue").click();
    await this.button("Skip").click();
    await this.button("OK").click(); // where threads are found
    this.userId = await this.page.evaluate(() => localStorage.getItem("mx_user_id"));
    return this.userId;
  }

  // A private room, encrypted as the dialog proposes.
  async createRoom(name) {
    await this.button("Add room").click();
    await this.page.getByRole("menuitem", { name: "New room" }).click();
    const dialog = this.page.getByRole("dialog");
    await dialog.getByRole("textbox", { name: "Name" }).fill(name);
    await this.button("Create room", dialog).click();
    await expect.seen(this.timeline.getByText("Encryption enabled"));
  }

  // The recovery key, after which the private keys are stored encrypted on the server, and room keys backed up.
  async setUpSecureBackup() {
    const toast = this.page.locator(".mx_Toast_toast", { hasText: "Set up Secure Backup" });
    await this.button("Continue", toast).click();
    const dialog = this.page.getByRole("dialog");
    await this.button("Continue", dialog).click();
    await this.button("Copy", dialog).click();
    await this.button("Continue", dialog).click();
    await this.button("Done", dialog).click();
    await expect.gone(dialog);
  }

  async invite(userId) {
    await this.button("Invite to this room").click();
    const dialog = this.page.getByRole("dialog");
    await dialog.getByRole("textbox").fill(userId);
    await this.button("Invite", dialog).click();
    await expect.gone(dialog);
  }

  async accept(room) {
    await this.page.getByRole("treeitem", { name: room }).click();
    await this.button("Accept").click();
    await expect.seen(this.composer());
  }

  composer(within = this.page) {
    return within.getByRole("textbox", { name: /^Send a|^Reply to thread/ });
  }

  // A message in the timeline (or in the open thread) with this text.
  message(text, within = this.timeline) {
    return within.locator(".mx_EventTile").filter({ has: this.page.getByText(text, { exact: true }) });
  }

  async say(text) {
    await this.composer().fill(text);
    await this.composer().press("Enter");
    await expect.sent(this.message(text));
  }

  async sees(text) {
    await expect.seen(this.message(text));
  }

  // Points at a message and chooses from the bar that appears.
  async choose(text, action) {
    await this.message(text).hover();
    await this.button(action, this.page.getByRole("toolbar", { name: "Message Actions" })).click();
  }

  async react(text, emoji) {
    await this.choose(text, "React");
    await this.page.locator(".mx_EmojiPicker").getByText(emoji, { exact: true }).first().click();
    await this.seesReaction(text, emoji);
  }

  async seesReaction(text, emoji) {
    await expect.seen(this.message(text).locator(".mx_ReactionsRow").getByText(emoji));
  }

  async edit(text, corrected) {
    await this.choose(text, "Edit");
    const editor = this.timeline.getByRole("textbox", { name: "Edit message" });
    await editor.fill(corrected);
    await editor.press("Enter");
    await this.seesEdited(corrected);
  }

  async seesEdited(text) {
    await expect.seen(this.message(text).getByText("(edited)"));
  }

  async remove(text) {
    await this.choose(text, "Options");
    await this.page.getByRole("menuitem", { name: "Remove" }).click();
    await this.button("Remove", this.page.getByRole("dialog")).click();
    await this.seesRemoved(text);
  }

  async seesRemoved(text) {
    await expect.gone(this.message(text));
    await expect.seen(this.timeline.getByText(/^Message deleted/));
  }

  async replyInThread(text, reply) {
    await this.choose(text, "Reply in thread");
    await this.composer(this.thread).fill(reply);
    await this.composer(this.thread).press("Enter");
    await expect.sent(this.message(reply, this.thread));
  }

  // The thread's summary below the message, and the reply in the thread.
  async seesInThread(text, reply) {
    await this.message(text).locator(".mx_ThreadSummary").click();
    await expect.seen(this.message(reply, this.thread));
    await this.button("Close", this.page.locator(".mx_RightPanel")).click();
  }

  async sendPicture(file) {
    await this.page.locator(".mx_MessageComposer input[type=file]").first().setInputFiles(file);
    await this.button("Upload", this.page.getByRole("dialog")).click();
    await this.seesPicture();
  }

  // Decrypted and drawn: its size in pixels is known.
  async seesPicture() {
    const picture = this.timeline.locator(".mx_MImageBody img.mx_MImageBody_thumbnail");
    await expect.seen(picture);
    await picture.evaluate((image) => image.decode());
    return picture.evaluate((image) => [image.naturalWidth, image.naturalHeight]);
  }

  // The page writes down every five minutes what it has synced: as if these were over.
  async reload() {
    await this.page.evaluate(() => window.mxMatrixClientPeg.get().store.save(true));
    await this.page.reload();
    await expect.seen(this.composer());
  }

  // Keeps the session and the keys; everything else comes from the server once more.
  async clearCacheAndReload() {
    await this.button("User menu").click();
    await this.page.getByRole("menuitem", { name: "All settings" }).click();
    const dialog = this.page.getByRole("dialog");
    await dialog.getByRole("tab", { name: "Help & About" }).click();
    await Promise.all([this.page.waitForEvent("load"), this.button("Clear cache and reload", dialog).click()]);
    await expect.seen(this.composer());
  }

  async seesNothingUndecrypted() {
    const failures = await this.page.locator(".mx_DecryptionFailureBody, .mx_EventTile_e2eIcon_decryption_failure").count();
    if (failures) throw new Error(`${this.name} cannot decrypt ${failures} messages`);
  }
}
