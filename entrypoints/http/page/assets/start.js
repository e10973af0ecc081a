// Starts the page, after its first paint, with which the other modules would compete. The page names all of them, because
// a browser that finds them import by import fetches them one after the other.
//
// A module that can't be fetched would leave the page empty: Chromium gives up all requests when the network changes. It
// never imports such a module again, so the whole page is loaded again.

const ATTEMPTS = 5
const FAILED = "drivebay.failed-starts" // in the storage of this tab

async function start() {
  try {
    await Promise.allSettled(document.body.dataset.modules.split(" ").map((module) => import(module)))
    await import("./app.js") // which needs all others: one that comes late may have fetched again what had failed
    sessionStorage.removeItem(FAILED)
  } catch (error) {
    console.error(error)
    const failed = Number(sessionStorage.getItem(FAILED)) + 1
    if (failed < ATTEMPTS) {
      sessionStorage.setItem(FAILED, failed)
      location.reload()
    } else {
      sessionStorage.removeItem(FAILED)
      explain()
    }
  }
}

function explain() {
  const text = document.createElement("p")
  text.textContent = "Parts of this page could not be loaded. Check the connection, and try again. "
  text.className = "notice"
  text.setAttribute("role", "alert")
  const again = document.createElement("button")
  again.textContent = "Try again"
  again.onclick = () => location.reload()
  text.append(again)
  document.getElementById("main").replaceChildren(text)
}

// A hidden tab has no paint to wait for.
if (document.hidden) start()
else requestAnimationFrame(() => setTimeout(start))
