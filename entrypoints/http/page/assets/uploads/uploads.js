// Uploads by tus: several at once, with pauses, retries, and a memory in this browser of those that are unfinished.

import * as api from "../base/api.js"
import { count } from "../base/format.js"
import { grant } from "../base/session.js"
import { toast } from "../base/toasts.js"
import { memory, prefixOf } from "./memory.js"
import "../vendor/tus.min.js"

const AT_ONCE = 3
const RETRIES = [0, 1000, 3000, 5000, 10_000, 20_000, 30_000] // milliseconds
const CHECKED = 8 * 1024 ** 2 // bytes: files up to this size are sent in one request, with their SHA-256
const SMOOTHING = 3 // seconds over which the rate is averaged
const FORGOTTEN = 7 * 86_400_000 // milliseconds: the server has forgotten them long before
const CONTROL = /[\u0000-\u001f\u007f]/g
/** States in which an upload is over. */
const OVER = new Set(["done", "skipped"])
/** Responses to a HEAD after which tus-js-client does what is right. At any other error it would begin a new upload. */
const UNDERSTOOD = [404, 410, 423]
/** Refusals that may be over at another attempt. */
const TEMPORARY = [401, 408, 409, 423, 429]

const { tus } = window

/** One file on its way. `state`: waiting, running, paused, conflict, failed, done or skipped. */
class Upload {
  state = "waiting"
  sent = 0
  rate = 0 // bytes a second
  error = ""
  ifMatch = ""
  #tus = null
  #ended = null // the end of the upload that was refused
  #measured = null

  constructor(file, id, queue) {
    this.file = file
    this.id = id
    this.queue = queue
  }

  get size() {
    return this.file.size
  }

  async start() {
    this.#set("running")
    try {
      this.#tus ??= await this.#prepared()
      if (this.state === "running") this.#tus.start()
    } catch (error) {
      this.#fail(error)
    }
  }

  async #prepared() {
    const isWhole = this.size > 0 && this.size <= CHECKED
    const checksum = isWhole ? await sha256(this.file) : null
    const upload = new tus.Upload(this.file, {
      endpoint: "/v1/tus",
      metadata: { id: this.id, filetype: this.file.type || "application/octet-stream", ...(this.ifMatch && { "if-match": this.ifMatch }) },
      retryDelays: RETRIES,
      urlStorage: memory,
      uploadDataDuringCreation: isWhole,
      storeFingerprintForResuming: !isWhole,
      removeFingerprintOnSuccess: true,
      fingerprint: async (file, options) => fingerprint(file, options.metadata.id),
      onBeforeRequest: (request) => {
        if (checksum && request.getMethod() === "POST") request.setHeader("Upload-Checksum", checksum)
      },
      onAfterResponse: (request, response) => {
        const status = response.getStatus()
        if (request.getMethod() !== "HEAD" || status < 400 || UNDERSTOOD.includes(status)) return
        throw new api.Problem(status, "", `The server answered ${status}.`)
      },
      onShouldRetry: (error) => navigator.onLine && statusOf(error) !== 401 && isTemporary(error),
      onProgress: (sent) => this.#progress(sent),
      onSuccess: () => this.#finish(),
      onError: (error) => this.#fail(error),
    })
    if (!isWhole) {
      const [before] = await upload.findPreviousUploads()
      if (before) upload.resumeFromPreviousUpload(before)
    }
    return upload
  }

  #progress(sent) {
    const now = performance.now()
    if (this.#measured && sent >= this.#measured.sent) {
      const seconds = (now - this.#measured.time) / 1000
      if (seconds < 0.1 && sent < this.size) return
      const current = (sent - this.#measured.sent) / Math.max(seconds, 0.001)
      const weight = Math.min(1, seconds / SMOOTHING)
      this.rate = this.rate ? this.rate + weight * (current - this.rate) : current
    }
    this.#measured = { sent, time: now }
    this.sent = sent
    this.queue.changed()
  }

  #finish() {
    this.sent = this.size
    this.#set("done")
    window.dispatchEvent(new Event("uploaded"))
  }

  #fail(error) {
    const status = statusOf(error)
    this.#measured = null
    this.rate = 0
    if (status === 412) {
      this.#ended = end(this.#tus)
      this.#tus = null
      this.#set("conflict")
      return
    }
    if (status === 401) api.events.dispatchEvent(new Event("expired"))
    const text = error.originalResponse?.getBody()?.trim()
    const cause = status ? `The server answered ${status}.` : "The server can't be reached."
    this.error = text || (error.originalRequest ? `${cause} What was sent is kept.` : error.message)
    this.isTemporary = isTemporary(error)
    if (!this.isTemporary) this.#tus = null
    this.#set("failed")
  }

  async pause() {
    const wasRunning = this.state === "running"
    this.#set("paused")
    this.#measured = null
    this.rate = 0
    if (wasRunning) await this.#tus?.abort()
  }

  resume() {
    this.error = ""
    this.#set("waiting")
  }

  /** Settle a conflict: `replace` what is there, `keep` both, or `skip` this file. */
  async settle(choice) {
    if (choice === "skip") return this.#set("skipped")
    try {
      await this.#ended
      if (choice === "replace") this.ifMatch = await currentTag(this.id)
      else this.id = await freeName(this.id)
      if (this.state === "conflict") this.resume() // not twice
    } catch (error) {
      this.#fail(error)
    }
  }

  async cancel() {
    const upload = this.#tus
    this.#set("skipped")
    // Also on the server, which would keep the bytes for a day.
    await upload?.abort(Boolean(upload.url)).catch(() => {})
  }

  #set(state) {
    if (OVER.has(this.state)) return
    this.state = state
    this.queue.changed()
    queueMicrotask(() => this.queue.pump())
  }
}

/** The status of the response that is an error; 0 without a response. */
const statusOf = (error) => error.originalResponse?.getStatus() ?? error.causingError?.status ?? error.status ?? 0

const isTemporary = (error) => !statusOf(error) || TEMPORARY.includes(statusOf(error)) || statusOf(error) >= 500

/** The entity tag of the version that is there now, for a replacement of exactly this one. */
async function currentTag(id) {
  const blob = await api.describe(id).catch(() => null)
  return blob ? `"${blob.etag.replaceAll('"', "")}"` : "*"
}

async function freeName(id) {
  const [, stem, extension] = /^(.*?[^/])((?:\.[^./]*)?)$/s.exec(id) ?? [id, id, ""]
  for (let number = 2; ; number += 1) {
    const name = `${stem} (${number})${extension}`
    if (!(await api.describe(name))) return name
  }
}

async function sha256(file) {
  if (!globalThis.crypto?.subtle) return null // pages without TLS have none; the length is checked all the same
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer())
  return `sha256 ${btoa(String.fromCharCode(...new Uint8Array(digest)))}`
}

/** What identifies the upload of a file, also after the browser has been started again. */
const fingerprint = (file, id) => `${grant?.key ?? ""} ${id} ${file.size} ${file.lastModified}`

/** All uploads of this page. Dispatches "change". */
class Queue extends EventTarget {
  items = []
  #frame = 0

  /** Add files: [{file, path}], with paths below the folder. Those that are in the list already are left out. */
  add(files, folder) {
    let left = 0
    for (const { file, path } of files) {
      const id = folder + (path.toWellFormed?.() ?? path).replace(CONTROL, "_")
      // Two uploads with one fingerprint would go on with the same upload of the server.
      const isSame = (item) => item.id === id && fingerprint(item.file, id) === fingerprint(file, id)
      if (this.items.some((item) => !OVER.has(item.state) && isSame(item))) left += 1
      else this.items.push(new Upload(file, id, this))
    }
    if (left) toast(`${count(left, "file")} left out, because the same is in the list of uploads.`)
    this.changed()
    this.pump()
  }

  /** Start those that wait, as long as fewer than AT_ONCE run. */
  pump() {
    let running = this.items.filter((item) => item.state === "running").length
    for (const item of this.items) {
      if (running >= AT_ONCE) return
      if (item.state === "waiting") {
        running += 1
        item.start()
      }
    }
  }

  changed() {
    this.#frame ||= setTimeout(() => {
      this.#frame = 0
      this.dispatchEvent(new Event("change"))
    }, 80)
  }

  get active() {
    return this.items.filter((item) => item.state === "waiting" || item.state === "running")
  }

  of(state) {
    return this.items.filter((item) => item.state === state)
  }

  pauseAll() {
    for (const item of this.active.reverse()) item.pause()
  }

  resumeAll() {
    for (const item of this.items) if (item.state === "paused" || (item.state === "failed" && item.isTemporary)) item.resume()
  }

  clear() {
    this.items = this.items.filter((item) => !OVER.has(item.state))
    this.changed()
  }
}

export const queue = new Queue()
window.addEventListener("online", () => queue.resumeAll())
window.addEventListener("beforeunload", (event) => {
  if (queue.active.length) event.preventDefault()
})

/** The uploads that this browser has begun before, and not finished: [{id, size, key, begun}]. */
export async function unfinished() {
  const begun = await memory.findAllUploads()
  const mine = prefixOf(`${grant.key ?? ""} `).slice(0, -2)
  const found = []
  for (const each of begun) {
    if (Date.now() - new Date(each.creationTime) > FORGOTTEN) await memory.removeUpload(each.urlStorageKey)
    else if (each.urlStorageKey.startsWith(mine) && !queue.items.some((item) => item.id === each.metadata.id)) {
      found.push({ id: each.metadata.id, size: each.size, key: each.urlStorageKey, url: each.uploadUrl })
    }
  }
  return found
}

/** Go on with an unfinished upload: `file` has to be the same one. Raises Error otherwise. */
export function goOn(before, file) {
  if (file.size !== before.size) throw new Error("This is another file: its size differs. Choose the one that you were uploading.")
  if (!before.key.startsWith(prefixOf(fingerprint(file, before.id)))) {
    throw new Error("This file has been changed since. Upload it as a new one.")
  }
  const folder = before.id.slice(0, before.id.lastIndexOf("/") + 1)
  queue.add([{ file, path: before.id.slice(folder.length) }], folder)
}

/** End an upload that was refused for its precondition: it would be again, whatever the next attempt asks for. */
async function end(upload) {
  if (!upload?.url) return
  const begun = await upload.findPreviousUploads()
  const key = begun.find((each) => each.uploadUrl === upload.url)?.urlStorageKey
  await discard({ key: key ?? "", url: upload.url })
}

/** Forget an unfinished upload, here and on the server. */
export async function discard(before) {
  await memory.removeUpload(before.key)
  await api.send("DELETE", new URL(before.url, location.href).pathname, { headers: { "Tus-Resumable": "1.0.0" } }).catch(() => {})
}
