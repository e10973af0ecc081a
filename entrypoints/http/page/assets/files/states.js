// What is shown in the place of a list: that it is empty, or why it can't be shown.

import { button, h, icon } from "../base/dom.js"
import { go } from "../base/place.js"
import { grant, may } from "../base/session.js"
import { pickFiles } from "../uploads/picking.js"

const state = (glyph, title, text, ...more) =>
  h("div", { class: "state-body" }, icon(glyph, 44), h("h2", {}, title), h("p", {}, text), ...more)

export function emptyState({ folder, find }) {
  if (find) {
    return state("search", "Nothing begins like this", `No name here begins with “${find}”. Upper and lower case differ.`,
      button({ text: "Show all" }, () => go({ folder }, { replace: true })))
  }
  if (!may("write")) return state("folder", "This folder is empty", "Files appear here as soon as somebody stores them.")
  return state("upload", "Nothing here yet", "Drop files or whole folders here, or paste them.",
    button({ text: "Choose files", glyph: "upload", kind: "primary" }, () => pickFiles(folder)))
}

export function failedState(error, retry) {
  if (error.status === 403) {
    const prefixes = grant.prefixes ?? []
    const places = prefixes.map((each) => button({ text: each }, () => go({ folder: each.slice(0, each.lastIndexOf("/") + 1) })))
    const text = may("list") ? "Your key does not include this folder." : "Your key may not list files. It can still be used for what it is for."
    return state("key", "Not for this key", text, h("div", { class: "controls" }, places))
  }
  return state("info", "This can't be shown now", error.message, button({ text: "Try again", kind: "primary" }, retry))
}
