// A view that is a table of a list of the interface, which grows page by page.

import { button, h } from "../base/dom.js"

/** Subclasses have `heading`, `about`, `columns`, `page(cursor)` → {items, next}, and `row(item)` → cells. */
export class TableView extends HTMLElement {
  #cursor = ""

  connectedCallback() {
    if (this.body) return
    this.body = h("tbody", {})
    this.more = button({ text: "Show more" }, () => this.#load())
    this.more.hidden = true
    this.message = h("p", { class: "quiet", role: "status" })
    const head = this.columns.map((text) => h("th", { scope: "col" }, text || h("span", { class: "hidden" }, "Actions")))
    this.append(h("div", { class: "bar" }, h("h1", {}, this.heading), h("div", { class: "tools" }, this.tools?.() ?? [])),
      h("div", { class: "table", tabindex: "0", role: "region", "aria-label": this.heading }, h("p", { class: "about" }, this.about),
        h("table", {}, h("thead", {}, h("tr", {}, head)), this.body), this.message, this.more))
  }

  show() {
    if (!this.isShown) this.reload()
    this.isShown = true
  }

  async reload() {
    this.#cursor = ""
    this.body.replaceChildren()
    await this.#load()
  }

  async #load() {
    this.more.hidden = true
    try {
      const { items, next } = await this.page(this.#cursor)
      this.body.append(...items.map((item) => this.#row(item)))
      this.#cursor = next
      this.more.hidden = !next
      this.message.textContent = this.body.children.length ? "" : this.nothing
    } catch (error) {
      this.message.textContent = error.message
    }
  }

  #row(item) {
    return h("tr", {}, this.row(item).map((cell, index) => h("td", { "data-label": this.columns[index] }, cell)))
  }
}
