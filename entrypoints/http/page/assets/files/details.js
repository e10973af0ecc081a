// The details of a file: a preview, its properties, its metadata, and its versions in the trash.

import * as api from "../base/api.js"
import * as actions from "./actions.js"
import { ask, field, sure } from "../base/dialogs.js"
import { button, h, icon } from "../base/dom.js"
import { exactBytes, exactTime, glyph, size, until, when } from "../base/format.js"
import { nameOf } from "../base/place.js"
import { preview } from "./preview.js"
import { may } from "../base/session.js"
import { failed, toast } from "../base/toasts.js"

export class FileDetails extends HTMLElement {
  #id = ""
  #etag = ""

  async show(id) {
    this.hidden = !id
    if (id === this.#id) return
    this.#id = id
    this.#etag = ""
    this.replaceChildren()
    if (id) await this.refresh()
  }

  /** Show the current version, if it is another than the one shown. */
  async refresh() {
    const id = this.#id
    if (!id) return
    try {
      const blob = await api.describe(id)
      if (id !== this.#id) return
      if (!blob) this.#drawMissing()
      else if (blob.etag !== this.#etag) await this.#draw(blob)
    } catch (error) {
      if (id === this.#id && !this.#etag) this.#drawHead(id, h("p", { class: "reason" }, error.message))
    }
  }

  #drawHead(id, ...content) {
    const close = button({ glyph: "close", label: "Close the details" }, () => this.dispatchEvent(new Event("closed")))
    const name = nameOf(id) || id
    this.replaceChildren(h("aside", { "aria-label": "Details" },
      h("div", { class: "details-head" }, h("h2", { title: id }, name), close), ...content))
  }

  #drawMissing() {
    this.#etag = "missing"
    this.#drawHead(this.#id, h("p", {}, "This file is not there any more. It may be in the trash, or have another name."), this.#versions())
  }

  async #draw(blob) {
    this.#etag = blob.etag
    const entry = { kind: "file", name: nameOf(blob.id), ...blob }
    const folder = blob.id.slice(0, blob.id.length - entry.name.length)
    const act = (name) => async () => {
      await actions[name]([entry], folder, () => this.dispatchEvent(new Event("acted")))
    }
    this.#drawHead(blob.id,
      h("div", { class: "preview" }, may("read") ? preview(blob) : icon(glyph(blob.content_type, blob.id), 48)),
      h("div", { class: "controls" },
        may("read") ? button({ text: "Download", glyph: "download", kind: "primary" }, act("download")) : null,
        may("read") ? button({ text: "Share", glyph: "link" }, act("share")) : null,
        may("write") ? button({ text: "Edit", glyph: "edit" }, () => this.#edit(blob)) : null),
      this.#properties(blob), this.#metadata(blob), this.#versions())
  }

  #properties(blob) {
    const rows = [
      ["Size", size(blob.size), exactBytes(blob.size)],
      ["Changed", when(blob.created_at), exactTime(blob.created_at)],
      ["Type", blob.content_type],
      ["Encoding", blob.content_encoding],
      ["Language", blob.content_language],
      ["Caching", blob.cache_control],
      ["Ends", blob.expires_at && until(blob.expires_at), blob.expires_at && exactTime(blob.expires_at)],
      ["Stored in", blob.backend],
      ["SHA-256", blob.sha256 ?? "being computed", blob.sha256, "mono"],
      ["Id", blob.id, null, "mono"],
    ]
    return definitions(rows.filter(([, value]) => value))
  }

  #metadata(blob) {
    const pairs = Object.entries(blob.metadata ?? {})
    if (!pairs.length) return null
    return h("section", {}, h("h3", {}, "Metadata"), definitions(pairs))
  }

  /** Change the type, the end and the metadata of the version that is shown; of no other. */
  async #edit(blob) {
    const lines = Object.entries(blob.metadata ?? {}).map(([name, value]) => `${name}: ${value}`)
    await ask({
      title: `Edit “${nameOf(blob.id)}”`, submit: "Save",
      fields: [
        field("Content type", "type", { value: blob.content_type, maxlength: 255 }),
        field("Ends at (empty for never)", "ends", { type: "datetime-local", value: localTime(blob.expires_at), step: 1 }),
        metadataField(lines),
      ],
      act: async ({ type, ends, metadata }) => {
        const changes = { content_type: type || null, metadata: patchOf(blob.metadata ?? {}, pairsOf(metadata)) }
        if (ends !== localTime(blob.expires_at)) changes.expires_at = ends ? new Date(ends).toISOString().replace(/\.\d+/, "") : null
        await api.patch(blob.id, blob.etag, changes)
        this.dispatchEvent(new Event("acted"))
      },
    })
  }

  #versions() {
    const list = h("div", {})
    const section = h("section", { hidden: true }, h("h3", {}, "In the trash"), list)
    const id = this.#id
    if (may("list")) {
      api.trash.list(id, "", 20).then(({ versions }) => {
        const own = versions.filter((version) => version.blob.id === id).reverse()
        section.hidden = !own.length
        list.replaceChildren(...own.map((version) => this.#version(version)))
      }, () => {}) // a key may be without the right
    }
    return section
  }

  #version(version) {
    const text = `${size(version.blob.size)}, stored ${when(version.blob.created_at)}`
    const back = async () => {
      if (this.#etag !== "missing" && !(await sure("Restore this version?", "The current version goes to the trash.", "Restore"))) return
      try {
        await api.trash.restore(version.key, undefined, true)
        toast("Restored.")
        this.#etag = ""
        this.dispatchEvent(new Event("acted"))
      } catch (error) {
        failed(error)
      }
    }
    return h("div", { class: "version" },
      h("span", { title: exactTime(version.blob.created_at) }, text, h("small", {}, `Kept ${until(version.restorable_until).replace("in ", "for ")}`)),
      may("write") ? button({ text: "Restore", glyph: "retry" }, back) : null)
  }
}

const definitions = (rows) =>
  h("dl", {}, rows.map(([name, value, exact, kind]) => [h("dt", {}, name), h("dd", { title: exact, class: kind }, value)]))

function metadataField(lines) {
  const id = "field-metadata"
  const area = h("textarea", { id, name: "metadata", rows: Math.max(3, lines.length + 1), spellcheck: "false", "aria-describedby": `${id}-hint` })
  area.value = lines.join("\n")
  return h("div", { class: "field" }, h("label", { for: id }, "Metadata"), area,
    h("small", { id: `${id}-hint` }, "A line for each, as author: Ada. Names have lower case letters, digits and hyphens."))
}

/** Return the pairs in lines of `name: value`. */
function pairsOf(text) {
  const found = {}
  for (const line of text.split("\n").filter((each) => each.trim())) {
    const index = line.indexOf(":")
    if (index < 1) throw new Error(`“${line}” is not a name and a value. Write it as author: Ada.`)
    found[line.slice(0, index).trim().toLowerCase()] = line.slice(index + 1).trim()
  }
  return found
}

/** Return the merge patch (RFC 7396) from one object to another. */
function patchOf(before, after) {
  const removed = Object.keys(before).filter((name) => !(name in after)).map((name) => [name, null])
  return { ...Object.fromEntries(removed), ...after }
}

function localTime(text) {
  if (!text) return ""
  const time = new Date(text)
  return new Date(time - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 19)
}

customElements.define("file-details", FileDetails)
