// Where one is: in the part of the URL after `#`, so that links can be copied, and back and forward work.
// `#files/films/2024/?find=a&open=films%2F2024%2Fb.mp4`. All before `?` is the folder, percent-encoded.

export const VIEWS = ["files", "trash", "links", "keys", "status"]

const encodePath = (text) => encodeURIComponent(text).replaceAll("%2F", "/")

export function hrefOf({ view = "files", folder = "", find = "", open = "" }) {
  const query = new URLSearchParams()
  if (find) query.set("find", find)
  if (open) query.set("open", open)
  const text = query.toString()
  return `#${view}/${encodePath(folder)}${text ? `?${text}` : ""}`
}

/** Return the place that a fragment names; the start for one that names none. */
export function parse(fragment) {
  const [path, , text] = partition(fragment.replace(/^#/, ""), "?")
  const [view, , encoded] = partition(path, "/")
  const query = new URLSearchParams(text)
  if (!VIEWS.includes(view)) return { view: "files", folder: "", find: "", open: "", isStart: true }
  return { view, folder: decoded(encoded), find: query.get("find") ?? "", open: query.get("open") ?? "" }
}

function partition(text, separator) {
  const index = text.indexOf(separator)
  return index < 0 ? [text, "", ""] : [text.slice(0, index), separator, text.slice(index + separator.length)]
}

function decoded(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

export const here = () => parse(location.hash)

/** Go to a place. `replace`: without a new entry in the history. */
export function go(place, { replace = false } = {}) {
  const href = hrefOf(place)
  if (replace) {
    history.replaceState(null, "", href)
    window.dispatchEvent(new HashChangeEvent("hashchange"))
  } else location.hash = href
}

/** The folder that holds a folder; empty at the top. */
export function parent(folder) {
  return folder.slice(0, folder.replace(/\/$/, "").lastIndexOf("/") + 1)
}

/** The last segment of an id or of a folder, without its slash. */
export function nameOf(id) {
  const text = id.endsWith("/") ? id.slice(0, -1) : id
  return text.slice(text.lastIndexOf("/") + 1)
}
