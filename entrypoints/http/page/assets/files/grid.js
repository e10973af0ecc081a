// A grid of entries that scrolls through lists of any length: only the rows in sight are elements.

import { h, icon } from "../base/dom.js"
import { exactBytes, exactTime, glyph, size, when } from "../base/format.js"
import { hrefOf } from "../base/place.js"

const TALLEST = 15_000_000 // pixels: browsers can't make elements taller than about 17 million
const SPARE = 8 // rows above and below
const FOLLOWED = 250 // rows by which an entry may move, and stay the active one
export const COLUMNS = [
  ["name", "Name"],
  ["size", "Size"],
  ["created_at", "Changed"],
]

/** Rows of `source` ({length, at(index)}), with a selection and an active row that the arrow keys move. */
export class FileGrid extends HTMLElement {
  selected = new Map() // entries by id
  active = 0
  anchor = 0
  #rows = new Map()
  #source = { length: 0, at: () => undefined }
  #frame = 0
  #scale = 1
  #activeId = ""

  connectedCallback() {
    if (this.body) return
    this.head = h("div", { role: "row", class: "row head", "aria-rowindex": 1 }, this.#headings())
    this.head.prepend(h("span", { role: "columnheader", class: "tick" }, h("span", { class: "hidden" }, "Selected")))
    this.spacer = h("div", { role: "rowgroup", class: "spacer" })
    this.body = h("div", {
      role: "grid", class: "grid", tabindex: "0", "aria-label": "Files and folders", "aria-multiselectable": "true",
    }, h("div", { role: "rowgroup", class: "heads" }, this.head), this.spacer)
    this.append(this.body)
    this.body.addEventListener("scroll", () => this.#soon())
    this.body.addEventListener("keydown", (event) => this.#onKey(event))
    this.body.addEventListener("focus", () => this.#mark())
    this.spacer.addEventListener("click", (event) => this.#onClick(event))
    this.spacer.addEventListener("dblclick", (event) => this.#onOpen(event))
    new ResizeObserver(() => this.#soon()).observe(this.body)
  }

  #headings() {
    return COLUMNS.map(([key, text]) =>
      h("span", { role: "columnheader", class: `cell ${key}`, "data-key": key, "aria-sort": "none" },
        h("button", { type: "button", class: "sort", tabindex: "-1", onclick: () => this.#emit("sort", key) }, text, icon("up", 12))))
  }

  set sorted({ key, isDescending }) {
    for (const heading of this.head.querySelectorAll("[data-key]")) {
      const order = heading.dataset.key === key ? (isDescending ? "descending" : "ascending") : "none"
      heading.setAttribute("aria-sort", order)
    }
  }

  get source() {
    return this.#source
  }

  /** Show a list from its beginning. */
  set source(source) {
    this.#source = source
    this.active = this.anchor = 0
    this.#activeId = ""
    this.selected.clear()
    this.body.scrollTop = 0
    this.update()
  }

  get rowHeight() {
    return matchMedia("(pointer: coarse)").matches ? 52 : 40
  }

  /** Draw again, after the list has changed. */
  update() {
    const whole = this.#source.length * this.rowHeight
    this.#scale = Math.max(1, whole / TALLEST)
    this.spacer.style.height = `${whole / this.#scale}px`
    this.body.setAttribute("aria-rowcount", this.#source.isComplete === false ? -1 : this.#source.length + 1)
    this.#follow()
    this.#draw()
  }

  /** Make the row of an entry the active one, now or once it is loaded. */
  follow(id) {
    this.#activeId = id
    this.update()
  }

  /** Keep the active row on its entry, where others have come or gone before it. */
  #follow() {
    const shift = this.#shiftOf(this.#activeId)
    this.active = Math.max(0, Math.min(this.active + shift, this.#source.length - 1))
    this.anchor = Math.max(0, this.anchor + shift)
  }

  #shiftOf(id) {
    for (let distance = 0; id && distance <= FOLLOWED; distance += 1) {
      for (const shift of [distance, -distance]) if (this.#source.at(Math.max(0, this.active + shift))?.id === id) return shift
    }
    return 0
  }

  /** The indexes of the first and the last row in sight. */
  get range() {
    const top = this.body.scrollTop
    const first = Math.floor((top * this.#scale) / this.rowHeight)
    const shown = Math.ceil(this.body.clientHeight / this.rowHeight) + 1
    const last = Math.min(this.#source.length - 1, first + shown)
    return [Math.max(0, Math.min(first, last)), Math.max(0, last)]
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0
      this.#draw()
    })
  }

  #draw() {
    const [first, last] = this.range
    const from = Math.max(0, first - SPARE)
    const to = Math.min(this.#source.length - 1, last + SPARE)
    for (const [index, row] of this.#rows) {
      if (index < from || index > to || row.entry !== this.#source.at(index)) {
        row.element.remove()
        this.#rows.delete(index)
      }
    }
    const shift = this.body.scrollTop * (this.#scale - 1)
    let before = null
    for (let index = from; index <= to; index += 1) {
      if (!this.#rows.has(index)) this.#rows.set(index, this.#row(index))
      const { element } = this.#rows.get(index)
      element.style.transform = `translateY(${index * this.rowHeight - shift}px)`
      // Rows are read in the order of the document.
      if (element.parentNode !== this.spacer || (before && before.nextSibling !== element)) {
        before ? before.after(element) : this.spacer.prepend(element)
      }
      before = element
    }
    this.#mark()
    this.#emit("sight", [first, last])
  }

  #row(index) {
    const entry = this.#source.at(index)
    const element = h("div", { role: "row", class: "row", id: `row-${index}`, "aria-rowindex": index + 2, "data-index": index })
    element.append(...(entry ? cells(entry) : [h("span", { role: "gridcell", class: "cell waiting" }, "…")]))
    return { entry, element }
  }

  #mark() {
    this.#activeId = this.activeEntry?.id ?? this.#activeId
    for (const [index, { entry, element }] of this.#rows) {
      const isSelected = Boolean(entry && this.selected.has(entry.id))
      element.setAttribute("aria-selected", String(isSelected))
      element.classList.toggle("active", index === this.active)
    }
    this.body.classList.toggle("selecting", this.selected.size > 0)
    if (this.#rows.has(this.active)) this.body.setAttribute("aria-activedescendant", `row-${this.active}`)
    else this.body.removeAttribute("aria-activedescendant")
  }

  get activeEntry() {
    return this.#source.at(this.active)
  }

  /** What an action is for: the selection, or else the active row. */
  get chosen() {
    if (this.selected.size) return [...this.selected.values()]
    return this.activeEntry ? [this.activeEntry] : []
  }

  select(entries) {
    this.selected = new Map(entries.map((entry) => [entry.id, entry]))
    this.#changed()
  }

  #changed() {
    this.#mark()
    this.#emit("select", [...this.selected.values()])
  }

  #toggle(index) {
    const entry = this.#source.at(index)
    if (!entry) return
    if (!this.selected.delete(entry.id)) this.selected.set(entry.id, entry)
    this.anchor = index
    this.#changed()
  }

  #extend(index) {
    const found = []
    for (let each = Math.min(index, this.anchor); each <= Math.max(index, this.anchor); each += 1) {
      const entry = this.#source.at(each)
      if (entry) found.push(entry)
    }
    this.select(found)
  }

  /** Make a row the active one, and bring it into sight. */
  activate(index, { extends: isRange = false } = {}) {
    this.active = Math.max(0, Math.min(index, this.#source.length - 1))
    const top = (this.active * this.rowHeight) / this.#scale
    const height = this.body.clientHeight - this.head.offsetHeight - this.rowHeight
    if (top < this.body.scrollTop) this.body.scrollTop = top
    else if (top > this.body.scrollTop + height) this.body.scrollTop = top - height
    if (isRange) this.#extend(this.active)
    else this.anchor = this.active
    this.#draw()
  }

  #onKey(event) {
    if (event.target === this.body && !event.altKey && this.press(event)) event.preventDefault()
  }

  /** Do what a key means in the list. Returns whether it means something. */
  press(event) {
    const page = Math.max(1, Math.floor(this.body.clientHeight / this.rowHeight) - 2)
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }
    const isCommand = event.ctrlKey || event.metaKey
    if (event.key in steps) this.activate(this.active + steps[event.key], { extends: event.shiftKey })
    else if (event.key === " ") this.#toggle(this.active)
    else if (event.key === "Enter" && this.activeEntry) this.#emit("open", this.activeEntry)
    else if (isCommand && event.key.toLowerCase() === "a") this.#emit("all")
    else return false
    return true
  }

  #onClick(event) {
    const row = event.target.closest("[role=row]")
    const index = Number(row?.dataset.index)
    const entry = row && this.#source.at(index)
    const isCommand = event.ctrlKey || event.metaKey
    if (!entry || (event.target.closest("a") && isCommand)) return
    this.active = index
    if (event.target.closest(".tick") || isCommand) this.#toggle(index)
    else if (event.shiftKey) this.#extend(index)
    else if (event.target.closest("a")) {
      event.preventDefault()
      this.#emit("open", entry)
    } else {
      this.anchor = index
      this.select([entry])
    }
    if (event.shiftKey) event.preventDefault()
    this.body.focus({ preventScroll: true })
    this.#mark()
  }

  #onOpen(event) {
    const index = Number(event.target.closest("[role=row]")?.dataset.index)
    const entry = this.#source.at(index)
    if (entry && !event.target.closest("a, .tick")) this.#emit("open", entry)
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(`grid-${name}`, { detail }))
  }
}

function cells(entry) {
  const isFolder = entry.kind === "folder"
  const place = isFolder ? { folder: entry.id } : { folder: entry.id.slice(0, entry.id.length - entry.name.length), open: entry.id }
  const name = h("a", { href: hrefOf(place), tabindex: "-1", title: entry.name }, entry.name || "(no name)")
  return [
    h("span", { role: "gridcell", class: "tick" }, h("span", { class: "box" }, icon("check", 12))),
    h("span", { role: "gridcell", class: "cell name" },
      icon(isFolder ? "folder" : glyph(entry.content_type, entry.name), 20), name,
      isFolder ? h("span", { class: "hidden" }, ", folder") : null),
    h("span", { role: "gridcell", class: "cell size", title: isFolder ? null : exactBytes(entry.size) }, isFolder ? "–" : size(entry.size)),
    h("span", { role: "gridcell", class: "cell created_at", title: isFolder ? null : exactTime(entry.created_at) },
      isFolder ? "–" : when(entry.created_at)),
  ]
}

customElements.define("file-grid", FileGrid)
