// Small charts. Each has a text for people who do not see it.

function svg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.append(...children)
  return element
}

const [WIDTH, HEIGHT] = [260, 56]

/** A line of values, the newest at the right. */
export function lines(values, label) {
  const most = Math.max(1e-9, ...values)
  const step = WIDTH / Math.max(1, values.length - 1)
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${(HEIGHT - 3 - (value / most) * (HEIGHT - 8)).toFixed(1)}`)
  const said = `${label}: ${values.length ? values.at(-1).toFixed(1) : "no values yet"}, at most ${(values.length ? most : 0).toFixed(1)}`
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": said },
    svg("path", { d: `M0 ${HEIGHT - 1}H${WIDTH}`, class: "chart-base" }), svg("polyline", { points: points.join(" "), class: "chart-line" }))
}

/** A bar of which a part is used. */
export function meter(part, label) {
  return svg("svg", { viewBox: `0 0 ${WIDTH} 10`, role: "img", "aria-label": `${label}: ${Math.round(100 * part)} percent` },
    svg("rect", { width: WIDTH, height: 10, rx: 5, class: "bar-all" }),
    svg("rect", { width: Math.max(4, WIDTH * Math.min(1, part)), height: 10, rx: 5, class: "bar-used" }))
}
