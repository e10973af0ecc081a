// The server of tus in Node, with files: node tus_server.mjs <modules> <folder> <port>
import { createRequire } from 'node:module'

const [modules, directory, port] = process.argv.slice(2)
const require = createRequire(`${modules}/`)
const { Server } = await import(require.resolve('@tus/server'))
const { FileStore } = await import(require.resolve('@tus/file-store'))

new Server({ path: '/v1/tus', datastore: new FileStore({ directory }) }).listen({ host: '127.0.0.1', port: Number(port) })
