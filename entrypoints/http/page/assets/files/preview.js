// Previews. Stored bytes never become a document of the page: images and media load as such, text is shown as text,
// and a PDF by the viewer of the browser.

import * as api from "../base/api.js"
import { h, icon } from "../base/dom.js"
import { glyph, size } from "../base/format.js"

const MAX_TEXT = 256 * 1024 // bytes
const MAX_PDF = 32 * 1024 ** 2
const MAX_IMAGE = 64 * 1024 ** 2
const TEXTS = /^(text\/|application\/(json|xml|javascript|x-sh|yaml|toml|x-ndjson))|[+](json|xml)\b/
const IMAGES = /^image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml)\b/

/** Return an element that shows a blob, as far as browsers can. */
export function preview(blob) {
  const type = blob.content_type.toLowerCase()
  const name = blob.id
  if (IMAGES.test(type) && blob.size <= MAX_IMAGE) {
    return withFallback(h("img", { src: api.rawPath(name), alt: "Preview", decoding: "async" }), blob)
  }
  if (type.startsWith("video/")) return withFallback(h("video", { src: api.rawPath(name), controls: true, preload: "metadata" }), blob)
  if (type.startsWith("audio/")) return withFallback(h("audio", { src: api.rawPath(name), controls: true, preload: "metadata" }), blob)
  if (type.startsWith("application/pdf") && blob.size <= MAX_PDF && navigator.pdfViewerEnabled) return pdf(blob)
  if (TEXTS.test(type) && !blob.content_encoding) return text(blob)
  return nothing(blob)
}

const nothing = (blob, why = "There is no preview for this type.") =>
  h("div", { class: "no-preview" }, icon(glyph(blob.content_type, blob.id), 48), h("small", {}, why))

function withFallback(element, blob) {
  element.addEventListener("error", () => element.replaceWith(nothing(blob, "The browser can't show this file.")))
  return element
}

/** The beginning of a text. It is not parsed, so markup in it stays text. */
function text(blob) {
  const shown = h("pre", { tabindex: "0", "aria-label": "Beginning of the text" }, "…")
  const part = blob.size > MAX_TEXT ? { Range: `bytes=0-${MAX_TEXT - 1}` } : {}
  const note = h("small", {}, blob.size > MAX_TEXT ? `The first ${size(MAX_TEXT)} of ${size(blob.size)}.` : "")
  if (blob.size === 0) shown.textContent = "(empty)"
  else {
    api.send("GET", api.rawPath(blob.id), { headers: part }).then(async (response) => {
      shown.textContent = new TextDecoder().decode(await response.arrayBuffer())
    }).catch((error) => shown.replaceWith(nothing(blob, error.message)))
  }
  return h("div", { class: "text-preview" }, shown, note)
}

/** A PDF: the viewer of the browser has an origin of its own, and takes the bytes as this type and no other. */
function pdf(blob) {
  const frame = h("iframe", { title: "Preview of the PDF" })
  api.send("GET", api.rawPath(blob.id)).then(async (response) => {
    const url = URL.createObjectURL(new Blob([await response.arrayBuffer()], { type: "application/pdf" }))
    frame.src = url
    new MutationObserver((_, observer) => {
      if (frame.isConnected) return
      URL.revokeObjectURL(url)
      observer.disconnect()
    }).observe(document.getElementById("main"), { childList: true, subtree: true })
  }).catch((error) => frame.replaceWith(nothing(blob, error.message)))
  return frame
}
