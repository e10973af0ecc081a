// The view of a folder: its path, what can be done, the list, and the details of one file.

import * as api from "../base/api.js"
import * as actions from "./actions.js"
import "./details.js"
import { announce, button, h, icon } from "../base/dom.js"
import { count, size } from "../base/format.js"
import "./grid.js"
import { Listing, entries } from "./listing.js"
import { go, here, hrefOf, nameOf, parent } from "../base/place.js"
import { grant, includes, may } from "../base/session.js"
import { emptyState, failedState } from "./states.js"
import { toast } from "../base/toasts.js"
import { dropZone, pickFiles, pickFolder } from "../uploads/picking.js"

const PAGE = 200 // entries
const MOST_SORTED = 10_000
const POLL = 1200 // milliseconds, while the page is visible
const TYPING = 150
const SORT_AGAIN = 10_000 // milliseconds between looks for changes after the first page of a sorted list

export class FilesView extends HTMLElement {
  #place = null
  #listing = null
  #sort = { key: "name", isDescending: false }
  #sorted = {} // the list in an order other than by name: {source, sort, items}
  #sortAt = 0 // when to load it again, by performance.now()
  #turn = 0 // of #showSorted
  #timer = 0
  #typing = 0

  connectedCallback() {
    if (this.grid) return
    this.path = h("nav", { class: "path", "aria-label": "Folders" })
    this.tools = h("div", { class: "tools" })
    this.note = h("p", { class: "note", hidden: true })
    this.grid = h("file-grid")
    this.state = h("div", { class: "state", hidden: true })
    this.foot = h("p", { class: "foot" })
    this.details = h("file-details", { hidden: true })
    const list = h("section", { class: "list", "aria-label": "Folder" }, this.note, this.grid, this.state, this.foot)
    this.append(h("h1", { class: "hidden" }, "Files"), h("div", { class: "bar" }, this.path, this.tools), h("div", { class: "split" }, list, this.details))
    this.grid.addEventListener("grid-sight", ({ detail: [first, last] }) => this.#listing?.show(first, last))
    this.grid.addEventListener("grid-open", ({ detail }) => this.open(detail))
    this.grid.addEventListener("grid-select", ({ detail }) => this.#onSelect(detail))
    this.grid.addEventListener("grid-sort", ({ detail }) => this.#onSort(detail))
    this.grid.addEventListener("grid-all", () => this.#selectAll())
    this.details.addEventListener("closed", () => this.closeDetails())
    this.details.addEventListener("acted", () => this.refresh())
    dropZone(this, () => this.#place.folder)
    this.poll = () => this.#poll()
    document.addEventListener("visibilitychange", this.poll)
    this.onUploaded = () => {
      this.#sortAt = 0
      this.#poll()
    }
    window.addEventListener("uploaded", this.onUploaded)
    this.#timer = setInterval(this.poll, POLL)
  }

  disconnectedCallback() {
    clearInterval(this.#timer)
    document.removeEventListener("visibilitychange", this.poll)
    window.removeEventListener("uploaded", this.onUploaded)
    this.#listing?.close()
  }

  get folder() {
    return this.#place.folder
  }

  /** Show a place. The list stays if only the open file is another. */
  show(place) {
    const before = this.#place
    this.#place = place
    if (before?.folder !== place.folder || before.find !== place.find || !this.#listing) this.#load(before?.folder !== place.folder)
    if (place.open) this.grid.follow(place.open)
    this.details.show(place.open)
    this.classList.toggle("with-details", Boolean(place.open))
  }

  #load(isOtherFolder) {
    this.#listing?.close()
    if (isOtherFolder) this.#sort = { key: "name", isDescending: false }
    this.#drawPath()
    this.#onSelect([])
    this.note.hidden = true
    this.#showState(null)
    const roots = this.#roots()
    if (roots) {
      this.#listing = null
      this.grid.source = { length: roots.length, at: (index) => roots[index], isComplete: true }
      this.foot.textContent = "Your key is for these."
      return
    }
    const { folder, find } = this.#place
    const listing = new Listing(async (cursor, signal, known = "", limit = PAGE) => {
      const found = await api.listIfChanged({ prefix: folder + find, delimiter: "/", limit, cursor }, known, signal)
      return found && { items: entries(found.page, folder, cursor), next: found.page.next_cursor, tag: found.tag }
    })
    this.#listing = listing
    listing.addEventListener("change", ({ detail }) => this.#onChange(listing, detail.isFirst))
    listing.addEventListener("failed", ({ detail }) => this.#onFailed(listing, detail))
    this.grid.sorted = this.#sort
    this.grid.source = listing
    if (this.#sort.key !== "name" || this.#sort.isDescending) this.#showSorted()
  }

  /** The prefixes of a restricted key, in the place of folders that it may not list. */
  #roots() {
    const prefix = this.#place.folder + this.#place.find
    if (includes(prefix)) return null
    return grant.prefixes.filter((each) => each.startsWith(prefix)).map((id) => ({ kind: "folder", id, name: id, isRoot: true }))
  }

  #onChange(listing, isFirst) {
    if (listing !== this.#listing) return
    if (this.grid.source === listing) this.grid.update()
    if (isFirst && document.activeElement === document.body) this.focusList()
    this.#showState(listing.length || !listing.isComplete ? null : emptyState(this.#place, this))
    this.foot.textContent = this.#sum(listing)
    if (isFirst) announce(this.foot.textContent)
    if (this.grid.source !== listing) this.#showSorted()
  }

  #sum(listing) {
    const more = listing.isComplete ? "" : " so far, scroll for more"
    return `${count(listing.length, "entry", "entries")}${more}`
  }

  #onFailed(listing, error) {
    if (listing !== this.#listing) return
    if (!listing.isLoaded) this.#showState(failedState(error, () => this.#load(false)))
    else this.foot.textContent = error.message
  }

  #showState(content) {
    this.state.hidden = !content
    this.grid.hidden = Boolean(content)
    this.state.replaceChildren(...(content ? [content] : []))
  }

  #drawPath() {
    const { folder } = this.#place
    const steps = [h("a", { href: hrefOf({}) }, icon("folder", 18), h("span", {}, "All files"))]
    for (let end = folder.indexOf("/"); end >= 0; end = folder.indexOf("/", end + 1)) {
      const each = folder.slice(0, end + 1)
      const name = nameOf(each) || "(no name)"
      steps.push(icon("chevron", 14), h("a", { href: hrefOf({ folder: each }), title: each }, name))
    }
    steps.at(-1).setAttribute("aria-current", "location")
    this.path.replaceChildren(...steps)
    this.path.scrollLeft = this.path.scrollWidth
  }

  #onSelect(selected) {
    const tools = selected.length ? this.#ofSelection(selected) : this.#ofFolder()
    this.tools.replaceChildren(...tools.filter(Boolean))
    this.tools.classList.toggle("selection", selected.length > 0)
    if (selected.length === 1 && selected[0].kind === "file" && this.#place.open) this.openDetails(selected[0].id)
  }

  #ofFolder() {
    if (!may("write")) return [h("span", { class: "quiet" }, "You may only look here.")]
    return [
      button({ text: "New folder", glyph: "plus", kind: "wide-only" }, () => actions.newFolder(this.folder)),
      grant.features.keys ? button({ text: "Upload link", glyph: "link", kind: "wide-only" }, () => actions.uploadLink(this.folder)) : null,
      button({ text: "Upload folder", glyph: "folder", kind: "wide-only" }, () => pickFolder(this.folder)),
      button({ text: "Upload", glyph: "upload", kind: "primary" }, () => pickFiles(this.folder)),
    ]
  }

  #ofSelection(selected) {
    const bytes = selected.reduce((sum, entry) => sum + (entry.size ?? 0), 0)
    const isOne = selected.length === 1
    const text = `${count(selected.length, "selected", "selected")}${bytes ? `, ${size(bytes)}` : ""}`
    const isFile = isOne && selected[0].kind === "file"
    return [
      h("span", { class: "quiet", role: "status" }, text),
      may("read") ? button({ text: "Download", glyph: "download" }, () => this.run("download")) : null,
      isFile && may("read") && grant.features.keys ? button({ text: "Share", glyph: "link" }, () => this.run("share")) : null,
      isOne && may("write") && may("delete") ? button({ text: "Rename", glyph: "edit" }, () => this.run("rename")) : null,
      may("write") && may("delete") ? button({ text: "Move", glyph: "move" }, () => this.run("move")) : null,
      may("write") && may("read") ? button({ text: "Copy", glyph: "copy" }, () => this.run("copy")) : null,
      isFile ? button({ text: "Details", glyph: "info" }, () => this.openDetails(selected[0].id)) : null,
      may("delete") ? button({ text: "Delete", glyph: "trash", kind: "danger-text" }, () => this.run("remove")) : null,
      button({ glyph: "close", label: "Drop the selection" }, () => this.grid.select([])),
    ]
  }

  /** Do something with the selection, and look again at what has changed. */
  async run(name) {
    const chosen = this.grid.chosen
    if (!chosen.length || chosen.some((entry) => entry.isRoot)) return
    const { open } = this.#place
    if (!this.grid.selected.size && open && open !== chosen[0].id) return toast("The details show another file. Select the one you mean.")
    await actions[name](chosen, this.folder, () => this.refresh())
    if (name === "remove" || name === "move" || name === "rename") {
      this.grid.select([])
      if (chosen.some((entry) => entry.id === this.#place.open)) this.closeDetails()
    }
    await this.refresh()
    if (document.activeElement === document.body) this.focusList()
  }

  open(entry) {
    if (entry.kind !== "folder") this.openDetails(entry.id)
    else if (entry.id.endsWith("/")) go({ folder: entry.id })
    else {
      const folder = parent(`${entry.id}/`) // a prefix of a key that is no folder
      go({ folder, find: entry.id.slice(folder.length) })
    }
  }

  openDetails(id) {
    const isOpen = Boolean(this.#place.open)
    if (this.#place.open !== id) go({ ...this.#place, open: id }, { replace: isOpen })
  }

  closeDetails() {
    if (this.#place.open) go({ ...this.#place, open: "" }, { replace: true })
    this.focusList()
  }

  find(text) {
    clearTimeout(this.#typing)
    this.#typing = setTimeout(() => go({ ...this.#place, find: text, open: "" }, { replace: true }), TYPING)
  }

  focusList() {
    if (this.grid.hidden) document.activeElement.blur()
    else this.grid.body.focus({ preventScroll: true })
  }

  async #onSort(key) {
    const isSame = this.#sort.key === key
    this.#sort = { key, isDescending: isSame ? !this.#sort.isDescending : key !== "name" }
    this.grid.sorted = this.#sort
    if (!this.#listing) return
    if (key === "name" && !this.#sort.isDescending) {
      this.#turn += 1
      this.note.hidden = true
      this.grid.source = this.#listing
    } else await this.#showSorted()
  }

  /** Sort what fits: a list of any length has one order only, that of the names. */
  async #showSorted() {
    const [listing, sort] = [this.#listing, this.#sort]
    const turn = (this.#turn += 1)
    this.#sortAt = performance.now() + SORT_AGAIN
    let found
    try {
      found = await listing.upTo(MOST_SORTED)
    } catch (error) {
      return this.#onFailed(listing, error)
    }
    if (listing !== this.#listing || turn !== this.#turn) return // a later one is on its way, or there
    if (found.isComplete) this.foot.textContent = this.#sum({ length: found.items.length, isComplete: true })
    const before = this.#sorted
    if (this.grid.source === before.source && sort === before.sort && isEqual(found.items, before.items)) return
    const { key, isDescending } = sort
    const value = key === "name" ? (entry) => entry.name : (entry) => entry[key] ?? ""
    const order = isDescending ? -1 : 1
    const sorted = found.items.toSorted((one, other) => {
      if (one.kind !== other.kind) return one.kind === "folder" ? -1 : 1
      return value(one) < value(other) ? -order : value(one) > value(other) ? order : 0
    })
    const kept = new Map(this.grid.selected)
    const { active, activeEntry } = this.grid
    const top = this.grid.body.scrollTop
    this.grid.source = { length: sorted.length, at: (index) => sorted[index], isComplete: true }
    this.#sorted = { source: this.grid.source, sort, items: found.items }
    this.grid.active = active
    if (activeEntry) this.grid.follow(activeEntry.id)
    this.grid.body.scrollTop = top
    this.grid.select([...kept.values()])
    this.note.hidden = found.isComplete
    this.note.textContent = `Sorted are the first ${MOST_SORTED.toLocaleString("en")} entries only. Filter by name to see others.`
  }

  #selectAll() {
    const source = this.grid.source
    const all = []
    for (let index = 0; index < source.length; index += 1) {
      const entry = source.at(index)
      if (entry) all.push(entry)
    }
    this.grid.select(all)
    if (source.isComplete === false || all.length < source.length) {
      toast(`Selected are the ${count(all.length, "entry", "entries")} that are loaded. To act on all, select the folder itself from above.`)
    }
  }

  /** Look for changes after one of this page. */
  async refresh() {
    this.#sortAt = 0
    await this.#look()
  }

  async #look() {
    const listing = this.#listing
    const [first, last] = this.grid.range
    if (this.grid.source === listing) await listing?.refresh(first, last)
    else if (listing) {
      await listing.refresh(0, 0)
      // A change of the first page has been dispatched. Of a longer list, it says nothing about the rest.
      const isDue = !listing.isOnePage && performance.now() >= this.#sortAt
      if (isDue && listing === this.#listing && this.grid.source !== listing) await this.#showSorted()
    }
    await this.details.refresh()
  }

  async #poll() {
    if (document.hidden || this.isPolling || !this.#listing) return
    this.isPolling = true
    try {
      await this.#look()
    } finally {
      this.isPolling = false
    }
  }

  /** React to a key outside of fields. Returns whether it means something. */
  onKey(event) {
    const run = { Delete: "remove", F2: "rename", r: "rename", m: "move", c: "copy", s: "share", d: "download" }[event.key]
    const rights = { remove: ["delete"], rename: ["write", "delete"], move: ["write", "delete"], copy: ["write"], share: ["read"], download: ["read"] }
    if (run) {
      if (rights[run].every(may)) this.run(run)
    } else if (event.key === "n" && may("write")) actions.newFolder(this.folder)
    else if (event.key === "u" && may("write")) pickFiles(this.folder)
    else if (event.key === "Backspace") this.folder && go({ folder: parent(this.folder) })
    else if (event.key === "Escape") this.#place.open ? this.closeDetails() : this.grid.select([])
    else if (event.target === document.body && !this.grid.hidden && this.grid.press(event)) this.focusList()
    else return false
    return true
  }
}

const isEqual = (one, other) => one.length === other.length && one.every((entry, index) => entry === other[index])

customElements.define("files-view", FilesView)
