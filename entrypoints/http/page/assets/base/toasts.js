// Short messages at the bottom, some with an action.

import { button, h } from "./dom.js"

const SHOWN = 8000 // milliseconds; those with an action stay for twice as long

/** Show a message. `action`: [text, function]. */
export function toast(text, { action, isError = false } = {}) {
  const close = button({ glyph: "close", label: "Dismiss" }, () => end())
  const does = action && button({ text: action[0] }, () => {
    end()
    action[1]()
  })
  const element = h("div", { class: isError ? "toast error" : "toast" }, h("span", {}, text), does, close)
  let timer = 0
  const end = () => {
    clearTimeout(timer)
    element.remove()
  }
  const start = () => {
    timer = setTimeout(end, action || isError ? 2 * SHOWN : SHOWN)
  }
  element.addEventListener("mouseenter", () => clearTimeout(timer))
  element.addEventListener("mouseleave", start)
  const all = document.getElementById("toasts")
  while (all.children.length > 2) all.firstChild.remove()
  all.append(element)
  start()
}

export const failed = (error) => toast(error.message, { isError: true })
