// The trash: versions that were deleted or replaced, and can be restored for a while.

import * as api from "../base/api.js"
import { sure } from "../base/dialogs.js"
import { button, h } from "../base/dom.js"
import { duration, exactBytes, exactTime, size, until, when } from "../base/format.js"
import { grant, may } from "../base/session.js"
import { TableView } from "./table-view.js"
import { failed, toast } from "../base/toasts.js"

export class TrashView extends TableView {
  heading = "Trash"
  columns = ["Name", "Size", "Deleted", "Kept", ""]
  nothing = "The trash is empty."

  get about() {
    return `Deleted and replaced files stay here for ${duration(grant.features.trash_retention)}, and end after that.`
  }

  async page(cursor) {
    const prefix = grant.prefixes?.length === 1 ? grant.prefixes[0] : ""
    const { versions, next_cursor: next } = await api.trash.list(prefix, cursor)
    return { items: versions, next }
  }

  row({ key, blob, deleted_at: deleted, restorable_until: end }) {
    return [
      h("span", { class: "id" }, blob.id),
      h("span", { title: exactBytes(blob.size) }, size(blob.size)),
      h("span", { title: exactTime(deleted) }, when(deleted)),
      h("span", { title: exactTime(end) }, until(end).replace("in ", "for ")),
      h("span", { class: "controls" },
        may("write") ? button({ text: "Restore", glyph: "retry" }, () => this.#restore(key, blob)) : null,
        may("delete") ? button({ glyph: "trash", label: `Delete ${blob.id} for ever`, kind: "danger-text" }, () => this.#purge(key, blob)) : null),
    ]
  }

  async #restore(key, blob) {
    try {
      try {
        await api.trash.restore(key)
      } catch (error) {
        if (error.code !== "already_exists") throw error
        const title = `“${blob.id}” is in use`
        if (!(await sure(title, "The version there now goes to the trash, if you restore this one.", "Restore"))) return
        await api.trash.restore(key, undefined, true)
      }
      toast(`Restored “${blob.id}”.`)
    } catch (error) {
      failed(error)
    }
    await this.reload()
  }

  async #purge(key, blob) {
    if (!(await sure("Delete for ever?", `This version of “${blob.id}” can't be restored after that.`, "Delete for ever"))) return
    await api.trash.purge(key).catch(failed)
    await this.reload()
  }
}

customElements.define("trash-view", TrashView)
