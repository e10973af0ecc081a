// The keys, for administrators: create, rotate, revoke.

import * as api from "../base/api.js"
import { ask, copyable, field, open, sure } from "../base/dialogs.js"
import { button, h } from "../base/dom.js"
import { exactTime, until, when } from "../base/format.js"
import { grant } from "../base/session.js"
import { TableView } from "./table-view.js"
import { failed, toast } from "../base/toasts.js"

const ACTIONS = [["read", "Read"], ["list", "List"], ["write", "Write"], ["delete", "Delete"], ["admin", "Administer"]]
const LIFETIMES = [["", "For ever"], ["86400", "A day"], ["604800", "A week"], ["7776000", "90 days", true], ["31536000", "A year"]]

export class KeysView extends TableView {
  heading = "Keys"
  about = "Give every program and person a key of its own, with the rights that it needs. A revoked key ends within five seconds."
  columns = ["Name", "May", "Where", "Used", "Ends", ""]
  nothing = "There are no keys yet."

  tools() {
    return [button({ text: "New key", glyph: "plus", kind: "primary" }, () => this.#create())]
  }

  async page(cursor) {
    const { keys, next_cursor: next } = await api.keys.list(cursor)
    return { items: keys, next }
  }

  row(key) {
    return [
      h("span", {}, h("span", { class: "strong" }, key.name), h("small", { class: "mono" }, key.key)),
      key.actions.join(", "),
      h("span", { class: "id" }, key.prefixes?.join(", ") ?? "everywhere"),
      key.used_at ? h("span", { title: exactTime(key.used_at) }, when(key.used_at)) : "never",
      key.expires_at ? h("span", { title: exactTime(key.expires_at) }, until(key.expires_at)) : "never",
      h("span", { class: "controls" },
        button({ text: "Rotate", glyph: "retry" }, () => this.#rotate(key)),
        button({ text: "Revoke", kind: "danger-text" }, () => this.#revoke(key))),
    ]
  }

  async #create() {
    let made
    const boxes = ACTIONS.filter(([name]) => grant.actions.includes(name)).map(([name, text]) =>
      h("label", { class: "check" }, h("input", { type: "checkbox", name: `may-${name}`, checked: name === "read" || name === "list" }), text))
    await ask({
      title: "New key", submit: "Create",
      fields: [
        field("Name", "name", { required: true, autofocus: true, maxlength: 100, hint: "Of the program or the person." }),
        h("fieldset", {}, h("legend", {}, "It may"), boxes),
        field("Only ids that begin with", "prefixes", { hint: "Such as films/. Separate several by commas. Empty is everywhere.", value: grant.prefixes?.join(", ") ?? "" }),
        field("Valid", "expires_in", { options: LIFETIMES }),
      ],
      act: async (values) => {
        const actions = ACTIONS.map(([name]) => name).filter((name) => values[`may-${name}`])
        if (!actions.length) throw new Error("Choose at least one right.")
        const prefixes = values.prefixes.split(",").map((each) => each.trim()).filter(Boolean)
        made = await api.keys.create({
          name: values.name, actions, ...(prefixes.length && { prefixes }), ...(values.expires_in && { expires_in: Number(values.expires_in) }),
        })
      },
    })
    if (made) await this.#showSecret(made, "The key is ready")
  }

  async #showSecret(key, title) {
    open(title, h("div", { class: "stack" }, h("p", {}, "This is shown only now. Copy it to where it is needed."),
      h("h3", {}, "Token"), copyable("Token", key.token),
      h("h3", {}, "For S3 clients"), copyable("Access key", key.key), copyable("Secret key", key.secret)))
    await this.reload()
  }

  async #rotate(key) {
    let made
    await ask({
      title: `Rotate “${key.name}”`, text: "It gets a new secret.", submit: "Rotate",
      fields: [field("The former secret stays valid for", "overlap", { options: [["0", "no time"], ["3600", "an hour", true], ["86400", "a day"]] })],
      act: async ({ overlap }) => {
        made = await api.keys.rotate(key.key, Number(overlap))
      },
    })
    if (made) await this.#showSecret(made, "The new secret")
  }

  async #revoke(key) {
    const text = "It ends at once, with its links and signed URLs. This can't be undone."
    if (!(await sure(`Revoke “${key.name}”?`, text, "Revoke"))) return
    await api.keys.revoke(key.key).then(() => toast(`Revoked “${key.name}”.`), failed)
    await this.reload()
  }
}

customElements.define("keys-view", KeysView)
