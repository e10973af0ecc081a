// The page: who has signed in, the head, and the view that the URL names.

import { button, h, icon } from "./base/dom.js"
import { isOpen, sure } from "./base/dialogs.js"
import { FilesView } from "./files/files.js"
import { count } from "./base/format.js"
import { showHelp } from "./base/help.js"
import { KeysView } from "./views/keys.js"
import { LinksView } from "./views/links.js"
import { go, here, hrefOf } from "./base/place.js"
import * as session from "./base/session.js"
import { StatusView } from "./views/status.js"
import { failed } from "./base/toasts.js"
import { TrashView } from "./views/trash.js"
import { UploadTray } from "./uploads/tray.js"
import { queue } from "./uploads/uploads.js"

const top = document.getElementById("top")
const main = document.getElementById("main")
const TITLES = { files: "Files", trash: "Trash", links: "Links", keys: "Keys", status: "Status" }
const ICONS = { files: "folder", trash: "trash", links: "link", keys: "key", status: "chart" }
const VIEWS = { files: FilesView, trash: TrashView, links: LinksView, keys: KeysView, status: StatusView }
let shown = null // {name, view}
let isTyped = false // whether the filter has what the URL has not

function views() {
  const { features } = session.grant
  const isAdmin = session.may("admin")
  return Object.keys(TITLES).filter((name) => ({
    files: true, trash: session.may("list"), links: features.keys, keys: isAdmin && features.keys, status: isAdmin && !session.grant.prefixes,
  })[name])
}

function drawHead() {
  const find = h("input", {
    type: "search", id: "find", placeholder: "Filter by name", "aria-label": "Filter this folder by the beginning of names",
    spellcheck: "false", autocomplete: "off",
    oninput() {
      isTyped = true
      shown?.view.find?.(find.value)
    },
  })
  find.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" && event.key !== "Enter" && event.key !== "ArrowDown") return
    if (event.key === "Escape") {
      find.value = ""
      shown?.view.find?.("")
    }
    event.preventDefault()
    event.stopPropagation()
    shown?.view.focusList?.()
  })
  const links = views().map((name) => h("a", { href: hrefOf({ view: name }), "data-view": name }, icon(ICONS[name]), h("span", {}, TITLES[name])))
  top.replaceChildren(
    h("a", { class: "brand", href: hrefOf({}), "aria-label": "Drivebay, to the start" },
      h("img", { src: "/ui/icon.svg", alt: "", width: 26, height: 26 }), h("span", {}, "Drivebay")),
    h("nav", { "aria-label": "Views" }, links),
    h("search", { class: "find" }, icon("search", 16), find),
    button({ glyph: "help", label: "Keyboard help", kind: "help" }, showHelp),
    ...session.menu(leave),
  )
}

async function leave() {
  const running = queue.active.length
  const text = `${count(running, "upload")} will be interrupted. What was sent is kept for a day.`
  if (running && !(await sure("Sign out?", text, "Sign out"))) return
  queue.pauseAll()
  try {
    await session.leave()
  } catch (error) {
    failed(error)
    return
  }
  restart()
}

/** Load the page again, so that nothing of the session is left in memory. */
function restart() {
  queue.pauseAll() // or else the browser would offer to stay
  main.replaceChildren()
  location.reload()
}

/** The place to begin with: the only folder of a restricted key, or the top. */
function start() {
  const prefixes = session.grant.prefixes ?? []
  const only = prefixes.length === 1 ? prefixes[0] : ""
  const folder = only.slice(0, only.lastIndexOf("/") + 1)
  return { view: "files", folder, find: only.slice(folder.length) }
}

function draw() {
  const place = here()
  if (place.isStart) return go(start(), { replace: true })
  const name = views().includes(place.view) ? place.view : "files"
  if (shown?.name !== name) {
    shown?.view.remove()
    shown = { name, view: new VIEWS[name]() }
    main.replaceChildren(shown.view)
    document.body.dataset.view = name
  }
  for (const link of top.querySelectorAll("nav a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page")
    else link.removeAttribute("aria-current")
  }
  const find = document.getElementById("find")
  find.parentElement.hidden = name !== "files"
  isTyped &&= find.value !== place.find // the list follows what is typed, after a moment
  if (!isTyped) find.value = place.find
  document.title = place.folder ? `${place.folder} – Drivebay` : `${TITLES[name]} – Drivebay`
  shown.view.show(place)
}

function onKey(event) {
  const isTyping = event.target.matches?.("input, textarea, select, [contenteditable]")
  if (isTyping || isOpen() || event.ctrlKey || event.metaKey || event.altKey) return
  if (event.key === "/") document.getElementById("find").focus()
  else if (event.key === "?") showHelp()
  else if (!shown?.view.onKey?.(event)) return
  event.preventDefault()
}

async function begin() {
  try {
    if (!(await session.find())) await session.signIn()
  } catch (error) {
    main.replaceChildren(h("div", { class: "state" }, h("h1", {}, "Drivebay can't be reached"), h("p", {}, error.message),
      button({ text: "Try again", kind: "primary" }, () => location.reload())))
    return
  }
  drawHead()
  document.getElementById("uploads").append(new UploadTray())
  session.askAgain((isSame) => (isSame ? shown?.view.show(here()) : restart()))
  window.addEventListener("hashchange", draw)
  document.addEventListener("keydown", onKey)
  draw()
}

begin()
