// What the bundled packages expect a page to have, as Element's own build gives it to them.
export { Buffer } from "buffer";
export { default as process } from "process/browser";
export const global = globalThis;
