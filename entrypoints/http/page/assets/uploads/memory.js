// Unfinished uploads, remembered in this browser: the storage of URLs that tus-js-client asks for.
//
// They are in IndexedDB, which writes at once. A browser that is killed loses what localStorage got a moment ago. Where
// there is no IndexedDB, uploads go on, and are not remembered.

const NAME = "drivebay"
const STORE = "uploads"
let connection = null

function open() {
  return new Promise((resolve) => {
    const request = window.indexedDB.open(NAME, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "urlStorageKey" })
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => resolve(null)
  })
}

/** Return the result of a request, once what it changes is written; `otherwise` if the browser does not allow it. */
async function run(mode, request, otherwise) {
  const database = window.indexedDB ? await (connection ??= open()) : null
  if (!database) return otherwise
  return new Promise((resolve) => {
    const transaction = database.transaction(STORE, mode, { durability: "strict" })
    const made = request(transaction.objectStore(STORE))
    transaction.oncomplete = () => resolve(made.result)
    transaction.onabort = () => resolve(otherwise)
  })
}

/** All keys of uploads with a fingerprint begin with this. */
export const prefixOf = (fingerprint) => `drivebay::${fingerprint}::`

export const memory = {
  findAllUploads: () => run("readonly", (store) => store.getAll(), []),

  findUploadsByFingerprint(fingerprint) {
    const prefix = prefixOf(fingerprint)
    return run("readonly", (store) => store.getAll(IDBKeyRange.bound(prefix, `${prefix}\uffff`)), [])
  },

  async addUpload(fingerprint, upload) {
    const urlStorageKey = prefixOf(fingerprint) + Math.random().toString(36).slice(2)
    await run("readwrite", (store) => store.put({ ...upload, urlStorageKey }), null)
    return urlStorageKey
  },

  removeUpload: (urlStorageKey) => run("readwrite", (store) => store.delete(urlStorageKey), null),
}
