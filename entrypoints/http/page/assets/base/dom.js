// Elements made by scripts. Data becomes text or an attribute here, never markup.

/** Create an element. Names of attributes that begin with `on` are events; children are elements or texts. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else element.setAttribute(name, value === true ? "" : value)
  }
  element.append(...children.flat(2).filter((child) => child !== undefined && child !== null && child !== false))
  return element
}

const SHAPES = {
  folder: "M2.5 5.5a1.5 1.5 0 0 1 1.5-1.5h4l2 2h6a1.5 1.5 0 0 1 1.5 1.5v7a1.5 1.5 0 0 1-1.5 1.5H4a1.5 1.5 0 0 1-1.5-1.5z",
  file: "M5 2.5h6.5L15.5 6.500v9.500a1.500 1.500 0 0 1-1.500 1.500H6a1.500 1.500 0 0 1-1.500-1.500V4M11.500 2.500v4h4",
  image: "M3.500 3.500h13v13h-13zM3.500 13.500l4-4 4 4 2-2 3 3M12.800 7.500h.01",
  video: "M2.500 5.500h10v9h-10zM12.500 9l5-2.500v7l-5-2.500",
  audio: "M7 15V4.500l9-1.500v10.500M7 15a2 2 0 1 1-4 0 2 2 0 0 1 4 0zM16 13.500a2 2 0 1 1-4 0 2 2 0 0 1 4 0z",
  text: "M5 2.500h6.500l4 4v11H5zM7.500 9.500h5M7.500 12.500h5",
  archive: "M3 4h14v3.500H3zM4 7.500v9h12v-9M8 11h4",
  search: "M9 15a6 6 0 1 0 0-12 6 6 0 0 0 0 12zM13.500 13.500l4 4",
  upload: "M10 13V3.500M6 7l4-4 4 4M3.500 13v3.500h13V13",
  download: "M10 3.500V13M6 9.500l4 4 4-4M3.500 13v3.500h13V13",
  plus: "M10 4v12M4 10h12",
  trash: "M3.500 5.500h13M8 5.500v-2h4v2M5.500 5.500l.7 11h7.600l.7-11M8.500 8.500v5M11.500 8.500v5",
  link: "M8.500 11.500a3.500 3.500 0 0 0 5 0l2.500-2.500a3.500 3.500 0 0 0-5-5l-1 1M11.500 8.500a3.500 3.500 0 0 0-5 0L4 11a3.500 3.500 0 0 0 5 5l1-1",
  key: "M12.500 11.500a4 4 0 1 0-3.700-2.500L3 14.800V17h2.500v-2h2v-2l2-2",
  chart: "M3.500 3v13.500H17M7 13v-3M10.500 13V6M14 13V8.500",
  close: "M5 5l10 10M15 5L5 15",
  check: "M4 10.500l4 4 8-9",
  pause: "M7 4.500v11M13 4.500v11",
  play: "M6 4l10 6-10 6z",
  retry: "M16 10a6 6 0 1 1-2-4.500M16 3v3.500h-3.500",
  copy: "M7 7h9.500v9.500H7zM13 7V3.500H3.500V13H7",
  move: "M3 10h13M11.500 5.500L16 10l-4.500 4.500",
  edit: "M4 16l.8-3.500L13 4.300l2.700 2.700-8.200 8.200zM11.500 6l2.500 2.500",
  more: "M4.500 10h.01M10 10h.01M15.500 10h.01",
  info: "M10 17.500a7.500 7.500 0 1 0 0-15 7.500 7.500 0 0 0 0 15zM10 9v5M10 6.200h.01",
  eye: "M2 10s3-5.500 8-5.500 8 5.500 8 5.500-3 5.500-8 5.500S2 10 2 10zM10 12.300a2.300 2.300 0 1 0 0-4.600 2.300 2.300 0 0 0 0 4.600z",
  out: "M8 3.500H4v13h4M12.500 6l4 4-4 4M7.500 10h9",
  chevron: "M7.500 5l5 5-5 5",
  up: "M10 16V4M5 9l5-5 5 5",
  help: "M10 17.500a7.500 7.500 0 1 0 0-15 7.500 7.500 0 0 0 0 15zM7.800 8a2.200 2.200 0 1 1 3.300 1.900c-.7.400-1.100.800-1.100 1.600M10 14h.01",
}

/** Create an icon, which is decoration: the text next to it, or the label of its button, says the same. */
export function icon(name, size = 18) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  for (const [key, value] of Object.entries({ viewBox: "0 0 20 20", width: size, height: size, "aria-hidden": "true" })) {
    svg.setAttribute(key, value)
  }
  svg.classList.add("icon", `icon-${name}`)
  const path = document.createElementNS(svg.namespaceURI, "path")
  path.setAttribute("d", SHAPES[name] ?? SHAPES.file)
  svg.append(path)
  return svg
}

/** Create a button. Without `text` it shows its icon only, and `label` names it. */
export function button({ text = "", label = "", glyph, kind = "", ...attributes }, action) {
  const shown = [glyph ? icon(glyph) : null, text ? h("span", {}, text) : null]
  const name = text ? undefined : label
  const classes = ["button", kind, text ? "" : "bare"].filter(Boolean).join(" ")
  return h("button", { type: "button", class: classes, "aria-label": name, title: name, ...attributes, onclick: action }, shown)
}

/** Say something to people who listen to the page instead of looking at it. */
export function announce(text) {
  document.getElementById("announcer").textContent = text
}
