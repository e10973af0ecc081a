// The public HTTP interface, as the page uses it. The browser adds the cookie of the session.

export const events = new EventTarget() // "expired": the session has ended

/** An error of the server, or of the way to it. `message` says what happened and what to do. */
export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail)
    this.status = status
    this.code = code
  }
}

const RETRIES = 2
const PAUSE = 300 // milliseconds before each

/** Fetch, and repeat a GET that gets no response: Chromium gives up all requests when the network changes. */
async function fetchWithRetries(path, options) {
  for (let left = options.method === "GET" ? RETRIES : 0; ; left--) {
    try {
      return await fetch(path, options)
    } catch (error) {
      if (error.name === "AbortError" || !left) throw error
      await new Promise((resolve) => setTimeout(resolve, PAUSE))
    }
  }
}

/** Send a request, and return the response. Raises Problem. */
export async function send(method, path, { json, headers = {}, body, signal } = {}) {
  const options = { method, headers: { ...headers }, body, signal, credentials: "same-origin", cache: "no-store" }
  if (json !== undefined) {
    options.body = JSON.stringify(json)
    options.headers["Content-Type"] ??= "application/json"
  }
  let response
  try {
    response = await fetchWithRetries(path, options)
  } catch (error) {
    if (error.name === "AbortError") throw error
    throw new Problem(0, "unreachable", "The server can't be reached. Check the connection, and try again.")
  }
  if (!response.ok && response.status !== 304) throw await problemOf(response)
  return response
}

async function problemOf(response) {
  let body = {}
  try {
    body = await response.json()
  } catch {
    // A proxy has its own pages for errors.
  }
  if (response.status === 401) events.dispatchEvent(new Event("expired"))
  const detail = body.detail ?? `The server answered ${response.status}. Try again later.`
  return new Problem(response.status, body.code ?? "", detail)
}

/** Send a request, and return the JSON in its response, or null. Raises Problem. */
export async function call(method, path, options) {
  const response = await send(method, path, options)
  return response.status === 204 ? null : response.json()
}

export const blobPath = (id) => `/v1/blobs/${encodeURIComponent(id)}`
export const rawPath = (id) => `${blobPath(id)}?alt=media`

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "")
  return given.length ? `?${new URLSearchParams(given)}` : ""
}

export const session = {
  find: () => call("GET", "/v1/session"),
  begin: (token) => call("POST", "/v1/session", { json: { token } }),
  end: () => call("DELETE", "/v1/session"),
}

export const listBlobs = (values, signal) => call("GET", `/v1/blobs${query(values)}`, { signal })

/** Return a page as {page, tag}; null if it still has this entity tag. */
export async function listIfChanged(values, tag, signal) {
  const headers = tag ? { "If-None-Match": tag } : {}
  const response = await send("GET", `/v1/blobs${query(values)}`, { headers, signal })
  return response.status === 304 ? null : { page: await response.json(), tag: response.headers.get("ETag") ?? "" }
}

/** Describe a blob with all its properties, or return null. */
export async function describe(id) {
  const page = await listBlobs({ prefix: id, limit: 1, fields: "metadata" })
  return page.blobs[0]?.id === id ? page.blobs[0] : null
}

/** Yield what is in all pages of a list. `read(cursor)` returns a page. */
async function* each(name, read) {
  let cursor = ""
  do {
    const page = await read(cursor)
    yield* page[name]
    cursor = page.next_cursor
  } while (cursor)
}

export const allBelow = (prefix) => each("blobs", (cursor) => listBlobs({ prefix, limit: 1000, cursor }))

export const MAX_OPERATIONS = 1000

/** Make changes in commits of up to 1,000: each of them happens completely or not at all. */
export async function commit(operations) {
  for (let start = 0; start < operations.length; start += MAX_OPERATIONS) {
    await call("POST", "/v1/commits", { json: { operations: operations.slice(start, start + MAX_OPERATIONS) } })
  }
}

export const movePrefix = (from, to) => call("POST", "/v1/move", { json: { from_prefix: from, to_prefix: to } })
export const deletePrefix = (prefix, dryRun = false) =>
  call("POST", "/v1/delete", { json: { prefix, dry_run: dryRun } })
export const patch = (id, etag, changes) =>
  call("PATCH", blobPath(id), {
    json: changes,
    headers: { "Content-Type": "application/merge-patch+json", "If-Match": `"${etag.replaceAll('"', "")}"` },
  })
export const putEmpty = (id, type) =>
  call("PUT", blobPath(id), { body: "", headers: { "Content-Type": type, "If-None-Match": "*" } })

export const trash = {
  list: (prefix, cursor, limit = 100) => call("GET", `/v1/trash${query({ prefix, cursor, limit })}`),
  all: (prefix) => each("versions", (cursor) => trash.list(prefix, cursor, 1000)),
  restore: (key, to, replace = false) =>
    call("POST", `/v1/trash/${key}/restore`, { json: to === undefined ? { replace } : { to, replace } }),
  purge: (key) => call("DELETE", `/v1/trash/${key}`),
}
export const shares = {
  list: (cursor) => call("GET", `/v1/shares${query({ cursor })}`),
  create: (json) => call("POST", "/v1/shares", { json }),
  revoke: (share) => call("DELETE", `/v1/shares/${share}`),
}
export const keys = {
  list: (cursor) => call("GET", `/v1/keys${query({ cursor })}`),
  create: (json) => call("POST", "/v1/keys", { json }),
  rotate: (key, overlap) => call("POST", `/v1/keys/${key}/rotate`, { json: { overlap } }),
  revoke: (key) => call("DELETE", `/v1/keys/${key}`),
}
export const status = () => call("GET", "/v1/status")
