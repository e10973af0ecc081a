// Numbers, sizes and times for people.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"]
const WHOLE = new Intl.NumberFormat("en")
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" })
const EXACT = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" })
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" })

export const count = (number, one, many = `${one}s`) => `${WHOLE.format(number)} ${number === 1 ? one : many}`
export const exactBytes = (bytes) => `${WHOLE.format(bytes)} ${bytes === 1 ? "byte" : "bytes"}`

export function size(bytes) {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`
}

/** A past time: minutes and hours of today, then dates. */
export function when(text, now = Date.now()) {
  const time = new Date(text)
  const seconds = (now - time) / 1000
  if (seconds < 45 && seconds > -45) return "just now"
  if (seconds >= 0 && seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`
  if (time.toDateString() === new Date(now).toDateString()) return `today, ${CLOCK.format(time)}`
  return DAY.format(time)
}

export const exactTime = (text) => `${EXACT.format(new Date(text))} (${text})`

/** A time to come, as "in 3 hours". */
export function until(text, now = Date.now()) {
  const seconds = (new Date(text) - now) / 1000
  return seconds <= 0 ? "now" : `in ${duration(seconds)}`
}

export function duration(seconds) {
  if (seconds < 60) return count(Math.max(1, Math.round(seconds)), "second")
  if (seconds < 3600) return count(Math.round(seconds / 60), "minute")
  if (seconds < 2 * 86400) return count(Math.round(seconds / 3600), "hour")
  return count(Math.round(seconds / 86400), "day")
}

/** The icon for a content type, or for a name without a telling one. */
export function glyph(type, name = "") {
  const kind = type.split("/")[0]
  if (["image", "video", "audio", "text"].includes(kind)) return kind
  if (/\.(zip|gz|tgz|xz|bz2|zst|7z|tar|rar)$/i.test(name)) return "archive"
  return /json|xml|pdf|msword|document/.test(type) ? "text" : "file"
}
