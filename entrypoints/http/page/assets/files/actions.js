// What can be done with entries of a list: {kind: "file" | "folder", id, name, ...}.

import * as api from "../base/api.js"
import { ask, copyable, field, open, sure } from "../base/dialogs.js"
import { h } from "../base/dom.js"
import { count, until, exactTime } from "../base/format.js"
import { go } from "../base/place.js"
import { grant } from "../base/session.js"
import { failed, toast } from "../base/toasts.js"

export const MARKER = "application/x-directory" // an empty blob `a/` keeps the folder `a/` in lists, as S3 tools do it
const MOST_NOTED = 10_000 // versions in the trash; beyond, there is no Undo

const named = (chosen) => (chosen.length === 1 ? `“${chosen[0].name}”` : count(chosen.length, "entry", "entries"))
const checkedName = (name) => {
  if (!name) throw new Error("Type a name.")
  if (name.includes("/")) throw new Error("A name has no slash. To put it into another folder, move it.")
  return name
}

export async function newFolder(folder) {
  await ask({
    title: "New folder",
    fields: [field("Name", "name", { required: true, autofocus: true, hint: "It is kept as an empty entry, until you delete the folder." })],
    submit: "Create",
    act: async ({ name }) => {
      const id = `${folder}${checkedName(name.trim())}/`
      try {
        await api.putEmpty(id, MARKER)
      } catch (error) {
        if (error.status !== 412) throw error // it is there
      }
      go({ folder: id })
    },
  })
}

export async function rename([entry], folder, refresh) {
  await ask({
    title: `Rename ${named([entry])}`,
    fields: [field("New name", "name", { value: entry.name, required: true, autofocus: true })],
    submit: "Rename",
    act: async ({ name }) => {
      const id = `${folder}${checkedName(name)}${entry.kind === "folder" ? "/" : ""}`
      if (id === entry.id) return
      if (entry.kind === "folder") {
        if (!(await isEmpty(id))) throw new Error(`The folder “${name}” exists. Choose another name, or move the entries into it.`)
        await api.movePrefix(entry.id, id)
      } else await api.commit([{ move: { from: entry.id, to: id } }])
      await refresh()
    },
  })
}

async function isEmpty(folder) {
  const { blobs } = await api.listBlobs({ prefix: folder, limit: 1 })
  return !blobs.length
}

const target = (folder) => [
  field("To the folder", "to", { value: folder, autofocus: true, hint: "Such as films/2024/. Empty is the top. A folder need not exist.", maxlength: 2000 }),
  h("label", { class: "check" }, h("input", { type: "checkbox", name: "replace" }), "Replace files with the same names"),
]
const folderIn = (text) => (text === "" || text.endsWith("/") ? text : `${text}/`)

export const move = (...all) => transfer("move", "Move", "Moved", ...all)
export const copy = (...all) => transfer("copy", "Copy", "Copied", ...all)

/** Move or copy entries. Another attempt is for those that are left after one that failed. */
async function transfer(kind, title, done, chosen, folder, refresh) {
  const left = new Set(chosen)
  await ask({
    title: `${title} ${named(chosen)}`, fields: target(folder), submit: title,
    act: async ({ to, replace }) => {
      const place = folderIn(to)
      if (place === folder) throw new Error("It is there already. Choose another folder.")
      const inside = chosen.find((entry) => entry.kind === "folder" && place.startsWith(entry.id))
      if (inside) throw new Error(`“${inside.name}” can't be put into itself. Choose another folder.`)
      for (const entry of left) {
        if (entry.kind !== "folder") continue
        await transferFolder(kind, entry.id, `${place}${entry.name}/`, Boolean(replace))
        left.delete(entry)
      }
      const files = [...left]
      while (files.length) {
        const some = files.splice(0, api.MAX_OPERATIONS)
        await api.commit(some.map(({ id, name }) => ({ [kind]: { from: id, to: place + name, replace: Boolean(replace) } })))
        for (const entry of some) left.delete(entry)
      }
      await refresh()
      toast(`${done} ${named(chosen)}.`, { action: ["Show", () => go({ folder: place })] })
    },
  })
}

/** Move or copy all below a prefix, by up to 1,000 at once; a move that replaces nothing at once. No bytes are touched. */
async function transferFolder(kind, from, to, replace) {
  if (kind === "move" && !replace) return api.movePrefix(from, to)
  let operations = []
  for await (const { id } of api.allBelow(from)) {
    operations.push({ [kind]: { from: id, to: to + id.slice(from.length), replace } })
    if (operations.length === api.MAX_OPERATIONS) {
      await api.commit(operations)
      operations = []
    }
  }
  await api.commit(operations)
}

export async function remove(chosen, folder, refresh) {
  const folders = chosen.filter((entry) => entry.kind === "folder")
  const files = chosen.filter((entry) => entry.kind === "file")
  try {
    const isForEver = grant.features.trash_retention === 0
    if (folders.length || isForEver) {
      const counts = await Promise.all(folders.map(({ id }) => api.deletePrefix(id, true)))
      const all = counts.reduce((sum, each) => sum + each.count, files.length)
      const sum = folders.length ? `They are ${count(all, "file")} in all. ` : ""
      const end = isForEver ? "This can't be undone." : "They stay in the trash for a while, from where you can restore them."
      if (!(await sure(`Delete ${named(chosen)}?`, sum + end, "Delete"))) return
    }
    const earlier = new Set()
    let canUndo = !isForEver
    for (const { id } of folders) canUndo &&= await note(id, earlier)
    await api.commit(files.map(({ id }) => ({ delete: { id } })))
    for (const { id } of folders) await api.deletePrefix(id)
    await refresh()
    const undo = () => restore(chosen, earlier, refresh)
    toast(`Deleted ${named(chosen)}.`, canUndo ? { action: ["Undo", undo] } : {})
  } catch (error) {
    failed(error)
  }
}

/** Add the keys of what is in the trash below a prefix already. Returns whether they are few enough. */
async function note(prefix, keys) {
  for await (const { key } of api.trash.all(prefix)) if (keys.add(key).size > MOST_NOTED) return false
  return true
}

/** Restore what was deleted together: of each id the newest version in the trash that is not one of the `earlier` ones. */
async function restore(chosen, earlier, refresh) {
  let [restored, missing] = [0, 0]
  try {
    for (const entry of chosen) {
      for (const version of (await newest(entry, earlier)).values()) {
        try {
          await api.trash.restore(version.key)
          restored += 1
        } catch (error) {
          if (![404, 409, 412].includes(error.status)) throw error
          missing += 1
        }
      }
    }
    const rest = missing ? ` ${count(missing, "file")} could not be: the name is in use again, or the time is over.` : ""
    toast(`Restored ${count(restored, "file")}.${rest}`)
  } catch (error) {
    failed(error)
  }
  await refresh()
}

async function newest(entry, earlier) {
  const found = new Map()
  for await (const version of api.trash.all(entry.id)) {
    const { id } = version.blob
    if (entry.kind === "file" && id !== entry.id) break // they are in the order of their ids
    if (!earlier.has(version.key)) found.set(id, version) // and those of an id in the order of their deletion
  }
  return found
}

/** Download a file as it is, and several, or folders, as a zip file. */
export async function download(chosen, folder) {
  if (chosen.length === 1 && chosen[0].kind === "file") {
    const link = h("a", { href: api.rawPath(chosen[0].id), download: chosen[0].name })
    document.body.append(link)
    link.click()
    link.remove()
    return
  }
  const name = `${(chosen.length === 1 ? chosen[0].name : folder.split("/").at(-2)) || "files"}.zip`
  const inputs = chosen.map(({ kind, id }) => h("input", { type: "hidden", name: kind === "folder" ? "prefix" : "id", value: id }))
  inputs.push(h("input", { type: "hidden", name: "folder", value: folder }), h("input", { type: "hidden", name: "filename", value: name }))
  const form = h("form", { method: "post", action: "/v1/zip", target: "_blank", rel: "noopener" }, inputs)
  document.body.append(form)
  form.submit()
  form.remove()
}

const LIFETIMES = [["3600", "An hour"], ["86400", "A day"], ["604800", "A week", true], ["2592000", "30 days"], ["31536000", "A year"]]

function showLink(link, text) {
  const about = `${text} It ends ${until(link.expires_at)}.`
  open("The link is ready", h("div", { class: "stack" }, copyable("Link", link.url), h("p", { title: exactTime(link.expires_at) }, about)))
}

export async function share([entry]) {
  if (entry.kind !== "file") return toast("Links are for files. Share several as a zip file that you upload.")
  let link
  await ask({
    title: `Share ${named([entry])}`, text: "Anybody with the link can download this file.", submit: "Create link",
    fields: [
      field("Valid for", "expires_in", { options: LIFETIMES, autofocus: true }),
      field("Password (optional)", "password", { type: "password", autocomplete: "new-password", maxlength: 250 }),
      field("Downloads at most (optional)", "max_uses", { type: "number", min: 1, max: 2147483647 }),
    ],
    act: async ({ expires_in, password, max_uses }) => {
      link = await api.shares.create({
        id: entry.id, expires_in: Number(expires_in), ...(password && { password }), ...(max_uses && { max_uses: Number(max_uses) }),
      })
    },
  })
  if (link) showLink(link, link.has_password ? "Send the password in another way." : "Anybody who has it can download the file.")
}

export async function uploadLink(folder) {
  let link
  await ask({
    title: "Link for uploads", submit: "Create link",
    text: `Anybody with the link can add files to “${folder || "All files"}”, and sees nothing that is there.`,
    fields: [
      folder ? null : field("Into the folder", "prefix", { value: "inbox/", required: true }),
      field("Valid for", "expires_in", { options: LIFETIMES, autofocus: true }),
      field("Password (optional)", "password", { type: "password", autocomplete: "new-password", maxlength: 250 }),
      field("Largest file in MiB (optional)", "mebibytes", { type: "number", min: 1, max: 5_000_000 }),
    ],
    act: async ({ prefix, expires_in, password, mebibytes }) => {
      link = await api.shares.create({
        prefix: folderIn(folder || prefix), expires_in: Number(expires_in), ...(password && { password }),
        ...(mebibytes && { max_bytes: Number(mebibytes) * 1024 ** 2 }),
      })
    },
  })
  if (link) showLink(link, "It opens a page that takes files.")
}
