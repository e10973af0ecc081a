// The status of the server, for administrators: health, disks, what is still to be done, and the load.

import * as api from "../base/api.js"
import { lines, meter } from "./charts.js"
import { h } from "../base/dom.js"
import { count, duration, exactTime, size, when } from "../base/format.js"

const EACH = 3000 // milliseconds
const KEPT = 60 // samples

export class StatusView extends HTMLElement {
  #timer = 0
  #samples = []

  connectedCallback() {
    this.cards = h("div", { class: "status", tabindex: "0", role: "region", "aria-label": "Status" })
    this.append(h("div", { class: "bar" }, h("h1", {}, "Status")), this.cards)
    this.#timer = setInterval(() => document.hidden || this.show(), EACH)
  }

  disconnectedCallback() {
    clearInterval(this.#timer)
  }

  async show() {
    try {
      const status = await api.status()
      this.#remember(status)
      this.cards.replaceChildren(...this.#drawn(status))
    } catch (error) {
      this.cards.replaceChildren(h("p", { class: "quiet" }, error.message))
    }
  }

  #remember({ requests, process }) {
    if (!requests) return
    this.#samples.push({ time: performance.now(), total: requests.total, seconds: requests.seconds, cpu: process?.cpu_seconds ?? 0 })
    this.#samples = this.#samples.slice(-KEPT)
  }

  /** The rates between samples. */
  #rates() {
    return this.#samples.slice(1).map((sample, index) => {
      const before = this.#samples[index]
      const seconds = (sample.time - before.time) / 1000
      const requests = Math.max(0, sample.total - before.total)
      return { requests: requests / seconds, latency: requests ? (1000 * (sample.seconds - before.seconds)) / requests : 0, cpu: (sample.cpu - before.cpu) / seconds }
    })
  }

  *#drawn(status) {
    const rates = this.#rates()
    const now = rates.at(-1)
    if (status.requests) {
      yield card("Requests", now ? `${now.requests.toFixed(1)} / s` : "…", lines(rates.map((each) => each.requests), "Requests a second"),
        `${count(status.requests.total, "request")} since the start, ${status.requests.in_flight} now. ${byStatus(status.requests.by_status)}`)
      yield card("Time of a request", now ? `${now.latency.toFixed(1)} ms` : "…", lines(rates.map((each) => each.latency), "Milliseconds of a request"),
        "The mean of the last seconds, until the first bytes.")
    }
    if (status.process) {
      yield card("Processor", now ? `${Math.round(100 * now.cpu)} %` : "…", lines(rates.map((each) => 100 * each.cpu), "Percent of a core"),
        `${count(status.process.workers, "worker")}, ${size(status.process.resident_bytes)} of memory.`)
    }
    for (const { name, free_bytes: free, size_bytes: whole } of status.disks) {
      yield card(`Disk of the ${name}`, `${size(free)} free`, meter((whole - free) / whole, `${name}: part of the disk in use`), `of ${size(whole)}`)
    }
    yield card("Parts", "", h("ul", { class: "parts" }, [health(status.database, "Database"), ...status.storages.map((part) => health(part, `Storage ${part.name}${part.name === status.active ? ", for new files" : ""}`))]))
    if (status.verifications) {
      const never = [h("li", {}, h("small", {}, "Never. Run drivebay verify on the server, or let a timer run it."))]
      const found = status.verifications.map(verification)
      yield card("Last verification", "", h("ul", { class: "parts" }, found.length ? found : never))
    }
    yield card("To be done", "", h("ul", { class: "parts" }, [...(status.backlog ?? []).map(backlog), h("li", {}, `Digests to compute: ${status.digests ?? "unknown"}`)]))
  }
}

const card = (title, figure, ...content) =>
  h("section", { class: "card" }, h("h2", {}, title), figure ? h("p", { class: "figure" }, figure) : null,
    content.map((each) => (typeof each === "string" ? h("small", {}, each) : each)))

const byStatus = (counts) => Object.entries(counts).map(([status, number]) => `${status}: ${number}`).join(", ")

const health = ({ status, reason }, name) =>
  h("li", { class: status }, h("span", { class: "strong" }, name),
    h("small", {}, `${status}${reason ? `: ${reason}` : ""}`))

const FINDINGS = { missing: ["missing", "missing"], damaged: ["damaged", "damaged"], orphans: ["orphan"], unreadable: ["unreadable", "unreadable"] }

/** Return "ok", "degraded" or "failing" for a verification.
 *
 * Lost data are an error; orphans cost space only, and what could not be read is not known to be lost. Which findings were
 * repaired is not known, so lost data count until all is repaired that can be.
 */
function outcome({ missing, damaged, orphans, unreadable, repaired, complete }) {
  const remaining = missing + damaged + orphans - repaired
  if (remaining > 0 && missing + damaged > 0) return "failing"
  return remaining > 0 || unreadable || !complete ? "degraded" : "ok"
}

function verification(found) {
  const findings = Object.entries(FINDINGS).filter(([name]) => found[name]).map(([name, words]) => count(found[name], ...words))
  const repaired = found.repaired ? `, ${found.repaired} repaired` : ""
  const whole = found.complete ? "" : " Not all of it could be verified."
  const text = `${findings.join(", ") || "nothing wrong"}${repaired}.${whole} ${count(found.blobs, "file")}, ${size(found.bytes)}, in ${duration(found.seconds)}${found.deep ? ", all bytes read" : ""}.`
  return h("li", { class: outcome(found) },
    h("span", { class: "strong", title: exactTime(found.ended_at) }, `${found.storage}, ${when(found.ended_at)}`), h("small", {}, text))
}

const backlog = ({ storage, uploads, garbage, due, overdue_seconds: overdue }) =>
  h("li", {}, h("span", { class: "strong" }, storage),
    h("small", {}, `${count(uploads, "upload")} open, ${count(garbage, "object")} to delete, ${due} of them now${due ? `, for ${duration(overdue)}` : ""}`))

customElements.define("status-view", StatusView)
