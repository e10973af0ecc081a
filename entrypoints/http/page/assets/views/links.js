// The share links: what they are for, until when, and their end.

import * as api from "../base/api.js"
import { copyable, open, sure } from "../base/dialogs.js"
import { button, h } from "../base/dom.js"
import { exactTime, size, until, when } from "../base/format.js"
import { TableView } from "./table-view.js"
import { failed } from "../base/toasts.js"

export class LinksView extends TableView {
  heading = "Links"
  about = "Links that you have created. Whoever has one needs no key."
  columns = ["For", "What", "Created", "Ends", "Used", ""]
  nothing = "There are no links. Select a file and choose Share, or create an upload link in a folder."

  async page(cursor) {
    const { shares, next_cursor: next } = await api.shares.list(cursor)
    return { items: shares, next }
  }

  row(link) {
    const what = link.id ? "Download" : `Uploads${link.max_bytes ? ` up to ${size(link.max_bytes)}` : ""}`
    return [
      h("span", { class: "id" }, link.id ?? link.prefix),
      `${what}${link.has_password ? ", with a password" : ""}`,
      h("span", { title: exactTime(link.created_at) }, when(link.created_at)),
      h("span", { title: exactTime(link.expires_at) }, until(link.expires_at)),
      link.max_uses ? `${link.uses} of ${link.max_uses}` : "not counted",
      h("span", { class: "controls" },
        link.url ? button({ text: "Show", glyph: "link" }, () => open("Link", h("div", { class: "stack" }, copyable("Link", link.url)))) : null,
        button({ text: "End", kind: "danger-text" }, () => this.#revoke(link))),
    ]
  }

  async #revoke(link) {
    if (!(await sure("End this link?", "It stops working at once, for everybody who has it.", "End it"))) return
    await api.shares.revoke(link.share).catch(failed)
    await this.reload()
  }
}

customElements.define("links-view", LinksView)
