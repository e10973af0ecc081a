// The entries of a list, page by page: only pages near those that are shown are kept, whatever the length of the list.

const KEPT = 6 // pages before and after those that are shown

export class Listing extends EventTarget {
  #pages = [{ cursor: "", start: 0, count: 0, items: null, tag: "", loading: null }]
  #fetch
  #abort = new AbortController()
  #all = [] // the pages of upTo(), for conditional requests
  isComplete = false
  isLoaded = false
  #isFailing = false

  /**
   * `fetchPage(cursor, signal, tag, limit)` returns {items, next, tag}, or null if the page still has this entity tag.
   * Dispatches "change" and "failed".
   */
  constructor(fetchPage) {
    super()
    this.#fetch = fetchPage
  }

  /** How many entries are known. There may be more, unless `isComplete`. */
  get length() {
    const last = this.#pages.at(-1)
    return last.start + last.count
  }

  /** Whether the first page is all of the list. */
  get isOnePage() {
    return this.isComplete && this.#pages.length === 1
  }

  /** How many entries are in memory. */
  get held() {
    return this.#pages.reduce((sum, page) => sum + (page.items?.length ?? 0), 0)
  }

  /** Return the entry at an index, or undefined if its page is not there now. */
  at(index) {
    const page = this.#pages[this.#pageAt(index)]
    return page?.items?.[index - page.start]
  }

  *loaded() {
    for (const page of this.#pages) yield* page.items ?? []
  }

  #pageAt(index) {
    let [low, high] = [0, this.#pages.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#pages[middle].start <= index) low = middle
      else high = middle - 1
    }
    return low
  }

  /** Load what is shown, from index `first` to `last`, and the next page near the end. Forget pages far away. */
  show(first, last) {
    const [from, to] = [this.#pageAt(first), this.#pageAt(last)]
    for (let index = from; index <= to; index += 1) this.#load(index)
    if (!this.isComplete && last + 60 >= this.length) this.#load(this.#pages.length - 1)
    for (const [index, page] of this.#pages.entries()) {
      if (page.items && (index < from - KEPT || index > to + KEPT)) Object.assign(page, { items: null, tag: "" })
    }
  }

  #load(index, isRefresh = false) {
    const page = this.#pages[index]
    if (page.loading || (page.items && !isRefresh)) return page.loading
    page.loading = this.#read(index, page).finally(() => {
      page.loading = null
    })
    return page.loading
  }

  async #read(index, page) {
    try {
      const found = await this.#fetch(page.cursor, this.#abort.signal, page.tag)
      if (this.#pages[index] !== page) return
      if (!found && !page.items) return this.#read(index, page) // forgotten since the request
      const isFirst = !this.isLoaded
      const wasFailing = this.#isFailing
      this.isLoaded = true
      this.#isFailing = false
      if (found) {
        Object.assign(page, { items: found.items, tag: found.tag, count: found.items.length })
        this.#connect(index, found.next)
      } else if (!wasFailing) return
      this.dispatchEvent(new CustomEvent("change", { detail: { isFirst } }))
    } catch (error) {
      if (error.name === "AbortError") return
      this.#isFailing = true
      this.dispatchEvent(new CustomEvent("failed", { detail: error }))
    }
  }

  /** Let the page that begins at `next` follow. Those after a page that ends elsewhere now are forgotten. */
  #connect(index, next) {
    const page = this.#pages[index]
    const follows = this.#pages[index + 1]
    if (next === null) {
      this.#pages.length = index + 1
      this.isComplete = true
    } else if (follows?.cursor === next) {
      for (let later = index + 1; later < this.#pages.length; later += 1) {
        const before = this.#pages[later - 1]
        this.#pages[later].start = before.start + before.count
      }
    } else {
      this.#pages.length = index + 1
      this.isComplete = false
      const start = page.start + page.count
      this.#pages.push({ cursor: next, start, count: 0, items: null, tag: "", loading: null })
    }
  }

  /** Ask again for what is shown, for changes that others made. */
  async refresh(first, last) {
    const to = this.#pageAt(last)
    for (let index = this.#pageAt(first); index <= to && index < this.#pages.length; index += 1) {
      if (this.#pages[index].items) await this.#load(index, true)
    }
  }

  /** Load up to `most` entries, and return them. Pages that have not changed have the same objects as the last time. */
  async upTo(most) {
    const [before, pages, items] = [this.#all, [], []]
    let cursor = ""
    do {
      const known = before[pages.length]?.cursor === cursor ? before[pages.length] : null
      const found = await this.#fetch(cursor, this.#abort.signal, known?.tag, 1000)
      const page = found ? { ...found, cursor } : known
      pages.push(page)
      items.push(...page.items)
      cursor = page.next
    } while (cursor && items.length < most)
    this.#all = pages
    return { items, isComplete: !cursor }
  }

  close() {
    this.#abort.abort()
  }
}

/** Compare as the server does, by bytes of UTF-8, which is by code points. */
function compareIds(one, other) {
  const [a, b] = [[...one], [...other]]
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const difference = a[index].codePointAt(0) - b[index].codePointAt(0)
    if (difference) return difference
  }
  return a.length - b.length
}

/** Return a page of the interface as entries: folders and files together, in the order of their ids. */
export function entries(page, folder, cursor) {
  const folders = page.prefixes.map((id) => ({ kind: "folder", id, name: id.slice(folder.length).replace(/\/$/, "") }))
  const files = page.blobs
    .filter((blob) => !(blob.id === folder && blob.size === 0)) // the marker of the folder itself
    .map((blob) => ({ kind: "file", name: blob.id.slice(folder.length), ...blob }))
  const isWhole = cursor === "" && page.next_cursor === null
  const all = [...folders, ...files]
  // A folder that fits into a page shows its folders first; a longer list has the only order that pages can have.
  return isWhole ? all : all.sort((one, other) => compareIds(one.id, other.id))
}
