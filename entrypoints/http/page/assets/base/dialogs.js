// Dialogs: the browser's own, which keep the focus inside and close with Escape.

import { button, h } from "./dom.js"
import { failed } from "./toasts.js"

/** Open a dialog with a form. Resolves with its values by name, or null if it was closed.
 *
 * `act(values)` runs before it closes; if that fails, the dialog stays, with the reason. While it runs, the dialog can't
 * be closed, but by a second Escape in Chromium: then the outcome counts all the same.
 */
export function ask({ title, text, fields = [], submit = "OK", kind = "primary", cancel = "Cancel", act, wide = false }) {
  return new Promise((resolve) => {
    const reason = h("p", { class: "reason", role: "alert" })
    const confirm = h("button", { type: "submit", class: `button ${kind}` }, submit)
    const close = button({ text: cancel }, () => dialog.close())
    const controls = h("div", { class: "controls" }, cancel ? close : null, confirm)
    const form = h("form", {}, h("h2", { id: "dialog-title" }, title), text ? h("p", {}, text) : null, fields, reason, controls)
    const dialog = h("dialog", { "aria-labelledby": "dialog-title", class: wide ? "wide" : "" }, form)
    let values = null
    let acting = null
    dialog.addEventListener("cancel", (event) => {
      if (acting) event.preventDefault()
    })
    form.addEventListener("submit", async (event) => {
      event.preventDefault()
      confirm.disabled = close.disabled = true
      reason.textContent = ""
      const given = Object.fromEntries(new FormData(form))
      acting = (async () => act?.(given, form))()
      try {
        await acting
        values = given
        dialog.close()
      } catch (error) {
        if (dialog.isConnected) reason.textContent = error.message
        else failed(error)
      } finally {
        acting = null
        confirm.disabled = close.disabled = false
      }
    })
    show(dialog, async () => {
      await acting?.catch(() => {})
      resolve(values)
    })
  })
}

/** Ask before something that can't be undone. Resolves with whether to do it. */
export async function sure(title, text, submit) {
  return (await ask({ title, text, submit, kind: "danger" })) !== null
}

/** Open a dialog with any content. Returns it; it is removed when it closes. */
export function open(title, content, { kind = "" } = {}) {
  const close = button({ glyph: "close", label: "Close" }, () => dialog.close())
  const head = h("div", { class: "dialog-head" }, h("h2", { id: "dialog-title" }, title), close)
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", class: kind }, head, content)
  show(dialog, () => {})
  return dialog
}

function show(dialog, onClose) {
  const before = document.activeElement
  dialog.addEventListener("close", () => {
    dialog.remove()
    if (before?.isConnected) before.focus()
    onClose()
  })
  document.body.append(dialog)
  dialog.showModal()
  dialog.querySelector("[autofocus]")?.select?.()
}

export const isOpen = () => Boolean(document.querySelector("dialog[open]"))

/** A labelled field of a form. */
export function field(label, name, { hint, options, ...attributes } = {}) {
  const id = `field-${name}`
  const described = hint ? `${id}-hint` : null
  const control = options
    ? h("select", { id, name, "aria-describedby": described, ...attributes },
      options.map(([value, text, isChosen]) => h("option", { value, selected: isChosen }, text)))
    : h(attributes.rows ? "textarea" : "input", { id, name, autocomplete: "off", "aria-describedby": described, ...attributes })
  return h("div", { class: "field" }, h("label", { for: id }, label), control, hint ? h("small", { id: described }, hint) : null)
}

/** A text to copy, with a button for it. */
export function copyable(label, text) {
  const input = h("input", { readonly: true, value: text, "aria-label": label, onfocus: () => input.select() })
  const done = button({ text: "Copy", glyph: "copy" }, async () => {
    try {
      await navigator.clipboard.writeText(text)
    } catch {
      input.select()
      document.execCommand("copy")
    }
    done.lastChild.textContent = "Copied"
  })
  return h("div", { class: "copyable" }, input, done)
}
