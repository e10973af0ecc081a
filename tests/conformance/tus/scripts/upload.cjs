'use strict'
// Upload as the JSON in the first argument says, with tus-js-client. Prints the requests: method, status and offset.
//
// file: its path; without one, the bytes come from stdin, of unknown length. pauseAt, dieAt: bytes of the file after
// which the upload is paused and goes on, or this process is killed. askAt: bytes after which another request asks for
// the offset, which ends the one that is sending. store: the file of the URLs of uploads that can be resumed.

const fs = require('node:fs')
const { Transform } = require('node:stream')
const tus = require('tus-js-client')

const given = JSON.parse(process.argv[2])
const requests = []
let passed = 0
let paused = false
let asked = false

// Passes the bytes of one request, up to those of the pause. The client reports its progress late: all bytes may
// have been sent by then.
class Gate extends Transform {
  constructor(size) {
    super()
    this.size = size // becomes the Content-Length
  }

  _transform(chunk, _encoding, done) {
    passed += chunk.length
    if (given.dieAt && passed >= given.dieAt) process.kill(process.pid, 'SIGKILL')
    if (given.askAt && !asked && passed >= given.askAt) {
      asked = true
      const headers = { Authorization: `Bearer ${process.env.TOKEN}`, 'Tus-Resumable': '1.0.0' }
      fetch(upload.url, { method: 'HEAD', headers }).catch(fail) // and send no more before the response
      return
    }
    if (!given.pauseAt || paused || passed < given.pauseAt) return done(null, chunk)
    paused = true
    upload.abort().then(() => upload.start(), fail)
  }
}

class HttpStack extends tus.DefaultHttpStack {
  createRequest(method, url) {
    // The draft lets any method create an upload, and this client chooses POST. The id is in the URL of a PUT.
    const request = super.createRequest(given.put && method === 'POST' ? 'PUT' : method, url)
    const send = request.send.bind(request)
    request.send = (body) => send(body instanceof fs.ReadStream ? body.pipe(new Gate(body.size)) : body)
    return request
  }
}

function fail(error) {
  console.error(error)
  process.exit(1)
}

function source() {
  return given.file ? fs.createReadStream(given.file) : process.stdin
}

const upload = new tus.Upload(source(), {
  ...given.options,
  chunkSize: given.options.chunkSize || Number.POSITIVE_INFINITY,
  retryDelays: given.options.retryDelays || null, // nothing may go wrong
  headers: { Authorization: `Bearer ${process.env.TOKEN}`, ...given.options.headers },
  httpStack: new HttpStack(),
  ...(given.store ? { urlStorage: new tus.FileUrlStorage(given.store) } : {}),
  storeFingerprintForResuming: Boolean(given.store),
  removeFingerprintOnSuccess: true,
  onAfterResponse(request, response) {
    const offset = response.getHeader('Upload-Offset')
    requests.push([request.getMethod(), response.getStatus(), offset === undefined ? null : Number(offset)])
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
