// Starts the page, after its first paint, with which the other modules would compete. The page names all of them, because
// a browser that finds them import by import fetches them one after the other.

const start = () => document.body.dataset.modules.split(" ").forEach((module) => import(module))

// A hidden tab has no paint to wait for.
if (document.hidden) start()
else requestAnimationFrame(() => setTimeout(start))
