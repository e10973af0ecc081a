// What the keys do.

import { h } from "./dom.js"
import { open } from "./dialogs.js"

const KEYS = [
  ["↑ ↓ PgUp PgDn Home End", "Move in the list"],
  ["Enter", "Open a folder, or the details of a file"],
  ["Backspace", "Go to the folder above"],
  ["Space", "Select or unselect"],
  ["Shift + arrows", "Select several"],
  ["Ctrl + A", "Select all that is loaded"],
  ["Delete", "Delete the selection"],
  ["F2 or r", "Rename"],
  ["m, c", "Move, copy"],
  ["s", "Share by a link"],
  ["d", "Download"],
  ["n", "New folder"],
  ["u", "Upload files"],
  ["/", "Filter this folder"],
  ["Escape", "Close the details, or drop the selection"],
  ["?", "This help"],
]

export function showHelp() {
  const rows = KEYS.map(([key, text]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, key)), h("td", {}, text)))
  open("Keyboard", h("table", { class: "keys-help" }, h("tbody", {}, rows)))
}
