'use strict'
// Upload as the JSON in the first argument says, with tus-js-client. Prints the requests: method, status and offset.
//
// file: its path; without one, the bytes come from stdin, of unknown length. pauseAt, dieAt: bytes after which the
// upload is paused and goes on, or this process is killed. store: the file of the URLs of uploads that can be resumed.

const fs = require('node:fs')
const tus = require('tus-js-client')

const given = JSON.parse(process.argv[2])
const requests = []

// The draft lets any method create an upload, and this client chooses POST. The id is in the URL of a PUT.
class Put extends tus.DefaultHttpStack {
  createRequest(method, url) {
    return super.createRequest(method === 'POST' ? 'PUT' : method, url)
  }
}

function fail(error) {
  console.error(error)
  process.exit(1)
}

function source() {
  return given.file ? fs.createReadStream(given.file) : process.stdin
}

let paused = false
const upload = new tus.Upload(source(), {
  ...given.options,
  chunkSize: given.options.chunkSize || Number.POSITIVE_INFINITY,
  retryDelays: null, // nothing may go wrong
  headers: { Authorization: `Bearer ${process.env.TOKEN}`, ...given.options.headers },
  ...(given.put ? { httpStack: new Put() } : {}),
  ...(given.store ? { urlStorage: new tus.FileUrlStorage(given.store) } : {}),
  storeFingerprintForResuming: Boolean(given.store),
  removeFingerprintOnSuccess: true,
  onAfterResponse(request, response) {
    const offset = response.getHeader('Upload-Offset')
    requests.push([request.getMethod(), response.getStatus(), offset === undefined ? null : Number(offset)])
  },
  onProgress(sent) {
    if (given.dieAt && sent >= given.dieAt) process.kill(process.pid, 'SIGKILL')
    if (given.pauseAt && !paused && sent >= given.pauseAt) {
      paused = true
      upload.abort().then(() => upload.start(), fail)
    }
  },
  onError: fail,
  onSuccess() {
    process.stdout.write(JSON.stringify({ url: upload.url, requests, paused }))
  },
})

upload.findPreviousUploads().then((previous) => {
  if (previous.length > 0) upload.resumeFromPreviousUpload(previous[0])
  upload.start()
}, fail)
