// The uploads, at the bottom: progress of each and of all, and what can be done about them.

import { announce, button, h, icon } from "../base/dom.js"
import { count, duration, size } from "../base/format.js"
import { pickOne } from "./picking.js"
import { nameOf } from "../base/place.js"
import { failed } from "../base/toasts.js"
import { discard, goOn, queue, unfinished } from "./uploads.js"

const SHOWN = 60 // rows
const ORDER = ["conflict", "failed", "running", "paused", "waiting", "done", "skipped"]
const TEXTS = { waiting: "Waiting", paused: "Paused", done: "Done", skipped: "Left out" }

export class UploadTray extends HTMLElement {
  #rows = new Map()
  #isOpen = true
  #before = []
  #said = ""

  connectedCallback() {
    this.title_ = h("h2", {}, "Uploads")
    this.bar = progressBar("All uploads")
    this.controls = h("div", { class: "controls" })
    this.fold = button({ glyph: "chevron", label: "Show or hide the uploads", "aria-expanded": "true" }, () => this.#toggle())
    this.list = h("ul", {})
    this.append(h("section", { class: "tray", hidden: true, "aria-label": "Uploads" },
      h("div", { class: "tray-head" }, this.title_, this.controls, this.fold), this.bar, this.list))
    queue.addEventListener("change", () => this.#draw())
    this.#lookBack()
  }

  async #lookBack() {
    this.#before = await unfinished()
    this.#draw()
  }

  #toggle() {
    this.#isOpen = !this.#isOpen
    this.fold.setAttribute("aria-expanded", String(this.#isOpen))
    this.list.hidden = !this.#isOpen
  }

  #draw() {
    const { items } = queue
    this.firstChild.hidden = !items.length && !this.#before.length
    document.body.classList.toggle("uploading", !this.firstChild.hidden)
    this.#drawHead(items)
    const sorted = items.length > 1 ? items.toSorted((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state)) : items
    const shown = sorted.slice(0, SHOWN)
    for (const [item, row] of this.#rows) if (!shown.includes(item)) this.#drop(item, row)
    const rows = shown.map((item) => this.#row(item))
    const rest = items.length - shown.length
    const old = this.#before.map((each) => this.#unfinished(each))
    const all = [...old, ...rows, ...(rest > 0 ? [h("li", { class: "quiet" }, `and ${count(rest, "other")}`)] : [])]
    if (old.length || all.length !== this.list.children.length || all.some((row, index) => this.list.children[index] !== row)) {
      const focused = this.list.contains(document.activeElement) ? document.activeElement : null
      this.list.replaceChildren(...all)
      if (focused?.isConnected) focused.focus()
    }
  }

  #drop(item, row) {
    row.element.remove()
    this.#rows.delete(item)
  }

  #drawHead(items) {
    const counted = items.filter((item) => item.state !== "skipped")
    const whole = counted.reduce((sum, item) => sum + item.size, 0)
    const sent = counted.reduce((sum, item) => sum + item.sent, 0)
    const rate = items.reduce((sum, item) => sum + (item.state === "running" ? item.rate : 0), 0)
    const active = queue.active.length
    const [done, conflicts, failures] = ["done", "conflict", "failed"].map((state) => queue.of(state).length)
    let text = "Unfinished uploads"
    if (active) text = `Uploading ${count(active, "file")}${rate ? `, ${size(rate)}/s, ${duration((whole - sent) / rate)} left` : ""}`
    else if (conflicts) text = `${count(conflicts, "name")} in use already`
    else if (failures) text = `${count(failures, "upload")} failed`
    else if (queue.of("paused").length) text = "Uploads are paused"
    else if (items.length) text = `Uploaded ${count(done, "file")}`
    this.title_.textContent = text
    this.#say(active || this.firstChild.hidden ? "" : text)
    setProgress(this.bar, whole ? sent / whole : active ? 0 : 1)
    this.bar.hidden = !items.length
    const states = [active > 0, queue.of("paused").length > 0, conflicts > 1, failures > 0, items.length > 0].join()
    if (this.controls.dataset.states === states) return
    this.controls.dataset.states = states
    this.controls.replaceChildren(...[
      ...(conflicts > 1 ? choices((choice) => queue.of("conflict").forEach((item) => item.settle(choice)), "all") : []),
      active ? button({ glyph: "pause", label: "Pause all" }, () => queue.pauseAll()) : null,
      !active && (queue.of("paused").length || failures) ? button({ glyph: "play", label: "Resume all" }, () => queue.resumeAll()) : null,
      !active && items.length && !conflicts && !failures ? button({ text: "Clear" }, () => queue.clear()) : null,
    ].filter(Boolean))
  }

  #say(text) {
    if (text && text !== this.#said) announce(text)
    this.#said = text
  }

  #row(item) {
    let row = this.#rows.get(item)
    if (!row) {
      row = { name: h("span", { class: "name" }), text: h("small", {}), bar: progressBar("Sent"), does: h("span", { class: "does" }) }
      row.element = h("li", {}, h("div", { class: "line" }, row.name, row.does), row.bar, row.text)
      this.#rows.set(item, row)
    }
    row.name.textContent = nameOf(item.id)
    row.name.title = item.id
    row.bar.setAttribute("aria-label", `Sent of ${nameOf(item.id)}`)
    setProgress(row.bar, item.size ? item.sent / item.size : Number(item.state === "done"))
    row.bar.hidden = ["conflict", "skipped", "done"].includes(item.state)
    row.text.textContent = textOf(item)
    if (row.element.dataset.state !== item.state) {
      row.element.dataset.state = item.state
      row.does.replaceChildren(...actionsOf(item))
    }
    return row.element
  }

  /** An upload of an earlier visit. A page can't open a file again by itself. */
  #unfinished(before) {
    const again = button({ text: "Choose the file", glyph: "file" }, () => pickOne((file) => {
      try {
        goOn(before, file)
        this.#before = this.#before.filter((each) => each !== before)
        this.#draw()
      } catch (error) {
        failed(error)
      }
    }))
    const forget = button({ glyph: "close", label: `Discard ${nameOf(before.id)}` }, async () => {
      this.#before = this.#before.filter((each) => each !== before)
      await discard(before)
      this.#draw()
    })
    return h("li", { "data-state": "unfinished" },
      h("div", { class: "line" }, h("span", { class: "name", title: before.id }, nameOf(before.id)), h("span", { class: "does" }, again, forget)),
      h("small", {}, `Not finished (${size(before.size)}). Choose the same file again, and it goes on where it was.`))
  }
}

function textOf(item) {
  if (item.state === "running") {
    const rest = item.rate ? `, ${size(item.rate)}/s, ${duration((item.size - item.sent) / item.rate)} left` : ""
    return `${size(item.sent)} of ${size(item.size)}${rest}`
  }
  if (item.state === "conflict") return "A file with this name is there already."
  if (item.state === "failed") return item.error
  if (item.state === "paused") return `Paused at ${size(item.sent)} of ${size(item.size)}`
  if (item.state === "done") return `Done, ${size(item.size)}`
  return TEXTS[item.state]
}

function choices(choose, whom = "") {
  const label = (text) => (whom ? `${text} ${whom}` : text)
  return [
    button({ text: label("Replace") }, () => choose("replace")),
    button({ text: label("Keep both") }, () => choose("keep")),
    button({ text: label("Skip") }, () => choose("skip")),
  ]
}

function actionsOf(item) {
  const name = nameOf(item.id)
  const cancel = button({ glyph: "close", label: `Cancel ${name}` }, () => item.cancel())
  if (item.state === "running" || item.state === "waiting") {
    return [button({ glyph: "pause", label: `Pause ${name}` }, () => item.pause()), cancel]
  }
  if (item.state === "paused") return [button({ glyph: "play", label: `Resume ${name}` }, () => item.resume()), cancel]
  if (item.state === "failed") return [button({ glyph: "retry", label: `Try ${name} again` }, () => item.resume()), cancel]
  if (item.state === "conflict") return choices((choice) => item.settle(choice))
  return item.state === "done" ? [icon("check")] : []
}

function progressBar(label) {
  return h("div", { class: "progress", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, h("div", {}))
}

function setProgress(bar, part) {
  bar.setAttribute("aria-valuenow", Math.floor(part * 100))
  bar.firstChild.style.width = `${part * 100}%`
}

customElements.define("upload-tray", UploadTray)
