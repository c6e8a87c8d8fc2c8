// Waits for what a page should come to show.
export const expect = {
  seen: (locator) => locator.first().waitFor({ state: "visible" }),
  gone: (locator) => locator.first().waitFor({ state: "hidden" }),
  // A message of one's own that the server has acknowledged.
  sent: (message) => message.and(message.page().locator(".mx_EventTile:not(.mx_EventTile_sending):not(.mx_EventTile_notSent)")).first().waitFor(),
};
