// Files that people choose, drop or paste, also whole folders.

import { h } from "../base/dom.js"
import { may } from "../base/session.js"
import { toast } from "../base/toasts.js"
import { queue } from "./uploads.js"

function pick(attributes, onFiles) {
  const input = h("input", { type: "file", multiple: true, class: "hidden", "aria-label": "Files to upload", tabindex: "-1", ...attributes })
  input.addEventListener("change", () => {
    onFiles([...input.files])
    input.remove()
  })
  input.addEventListener("cancel", () => input.remove())
  document.body.append(input)
  input.click()
}

export const pickFiles = (folder) => pick({}, (files) => queue.add(files.map((file) => ({ file, path: file.name })), folder))
export const pickFolder = (folder) =>
  pick({ webkitdirectory: true }, (files) => queue.add(files.map((file) => ({ file, path: file.webkitRelativePath || file.name })), folder))

/** Choose one file. */
export const pickOne = (onFile) => pick({ multiple: false }, ([file]) => file && onFile(file))

/** Take what is dropped on an element or pasted, for the folder that `folderOf()` returns. */
export function dropZone(element, folderOf) {
  let depth = 0
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files") && may("write")
  const leave = () => {
    depth = 0
    element.classList.remove("dropping")
  }
  element.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return
    depth += 1
    element.classList.add("dropping")
  })
  element.addEventListener("dragleave", () => {
    depth -= 1
    if (depth <= 0) leave()
  })
  element.addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault()
  })
  element.addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return
    event.preventDefault()
    leave()
    const folder = folderOf()
    queue.add(await dropped(event.dataTransfer), folder)
  })
  const onPaste = (event) => {
    if (!element.isConnected) return document.removeEventListener("paste", onPaste)
    const files = [...(event.clipboardData?.files ?? [])]
    if (!files.length || !may("write") || document.querySelector("dialog[open]")) return
    queue.add(files.map((file) => ({ file, path: pastedName(file) })), folderOf())
    toast("Uploading what you pasted.")
  }
  document.addEventListener("paste", onPaste)
}

/** Browsers call each picture on the clipboard image.png. */
function pastedName(file) {
  if (!/^image\.\w+$/.test(file.name)) return file.name
  return `pasted ${new Date().toISOString().slice(0, 19).replace("T", " ").replaceAll(":", "-")}.${file.name.split(".").at(-1)}`
}

/** Return all files that were dropped, also those in folders. */
async function dropped(transfer) {
  // Synchronously: the browser empties the list after the event.
  const roots = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean)
  if (!roots.length) return [...transfer.files].map((file) => ({ file, path: file.name }))
  const found = []
  for (const root of roots) await walk(root, "", found)
  return found
}

async function walk(entry, path, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject)).catch(() => null)
    if (file) found.push({ file, path: path + entry.name })
    else toast(`“${entry.name}” can't be read.`, { isError: true })
    return
  }
  const reader = entry.createReader()
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => null) // up to 100
    if (!some) toast(`“${entry.name}” can't be read. Not all of the folder is uploaded.`, { isError: true })
    if (!some?.length) return
    for (const each of some) await walk(each, `${path}${entry.name}/`, found)
  }
}
