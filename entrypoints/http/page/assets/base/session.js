// Who one is, and what one may do.

import { session as endpoint, events } from "./api.js"
import { button, h, icon } from "./dom.js"

export let grant = null

export const may = (action) => grant?.actions.includes(action) ?? false

/** Return whether ids with this prefix are all within the rights. */
export function includes(prefix) {
  return !grant.prefixes || grant.prefixes.some((each) => prefix.startsWith(each))
}

/** Find the session of this browser. Resolves with whether there is one. */
export async function find() {
  try {
    grant = await endpoint.find()
    return true
  } catch (error) {
    if (error.status === 401) return false
    throw error
  }
}

export async function leave() {
  await endpoint.end()
  grant = null
}

/** Show the form to sign in, in the place of everything. Resolves once somebody has. `reason`: why it is shown. */
export function signIn(reason = "") {
  return new Promise((resolve) => {
    const message = h("p", { class: "reason", role: "alert" }, reason)
    const token = h("input", {
      id: "token", name: "token", type: "password", required: true, autocomplete: "current-password", autofocus: true, spellcheck: "false",
    })
    const submit = h("button", { class: "button primary", type: "submit" }, "Sign in")
    const form = h("form", { class: "sign-in" },
      h("div", { class: "brand large" }, h("img", { src: "/ui/icon.svg", alt: "", width: 40, height: 40 }), h("h1", {}, "Drivebay")),
      h("p", {}, "Sign in with a key, or with a token from the settings of the server."),
      h("div", { class: "field" }, h("label", { for: "token" }, "Token"), token,
        h("small", {}, "It is exchanged for a cookie of this browser, for 12 hours at most, and not kept.")),
      message, submit)
    const dialog = h("dialog", { class: "full", "aria-label": "Sign in" }, form)
    dialog.addEventListener("cancel", (event) => event.preventDefault())
    form.addEventListener("submit", async (event) => {
      event.preventDefault()
      submit.disabled = true
      message.textContent = ""
      try {
        grant = await endpoint.begin(token.value.trim())
        dialog.close()
        dialog.remove()
        resolve()
      } catch (error) {
        message.textContent = error.status === 401
          ? "This token is not valid here. Check that you copied all of it, and that its key has not expired." : error.message
        token.select()
      } finally {
        submit.disabled = false
      }
    })
    document.body.append(dialog)
    dialog.showModal()
    token.focus()
  })
}

let isAsking = false

/** Ask people whose session has ended to sign in again, and go on where they are. */
export function askAgain(onReturn) {
  events.addEventListener("expired", async () => {
    if (isAsking || !grant) return
    isAsking = true
    const before = grant.key
    await signIn("Your session has ended. Sign in again to go on. Nothing is lost.")
    isAsking = false
    onReturn(before === grant.key)
  })
}

/** The menu of the person who has signed in. */
export function menu(onLeave) {
  const name = grant.name || "Token of the server"
  const rights = `May ${grant.actions.join(", ")}${grant.prefixes ? ` in ${grant.prefixes.join(", ")}` : " everywhere"}.`
  const list = h("div", { class: "menu", popover: "auto", id: "account-menu" },
    h("p", { class: "strong" }, name), h("p", { class: "quiet" }, rights),
    grant.features.docs ? h("a", { href: "/docs", class: "item" }, icon("info"), "The HTTP interface") : null,
    button({ text: "Sign out", glyph: "out", kind: "item" }, onLeave))
  const opener = h("button", { type: "button", class: "button bare account", popovertarget: "account-menu", "aria-label": `Account: ${name}` },
    h("span", { class: "avatar", "aria-hidden": "true" }, name.slice(0, 1).toUpperCase()))
  return [opener, list]
}
