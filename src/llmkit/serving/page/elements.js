// Nodes of the page. Text is only ever set as text: nothing here, or anywhere in the page, takes HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Strokes of the icons, in a square of 20. */
const ICONS = {
  menu: "M3 5.5h14M3 10h14M3 14.5h14",
  plus: "M10 4v12M4 10h12",
  close: "M5 5l10 10M15 5L5 15",
  send: "M10 16V4M5 9l5-5 5 5",
  stop: "M6 6h8v8H6z",
  settings: "M3 6h8M15 6h2M3 14h2M9 14h8M11 4v4h4V4zM5 12v4h4v-4z",
  columns: "M3.5 4h5.5v12H3.5zM11 4h5.5v12H11z",
  copy: "M7 7V4h9v9h-3M4 7h9v9H4z",
  check: "M4 10.5l4 4 8-9",
  retry: "M16 10a6 6 0 1 1-1.8-4.3M16 3v3.4h-3.4",
  edit: "M4 16l1-4L13.5 3.5l3 3L8 15z",
  up: "M7 9l3-6c1.4 0 2 1 1.8 2.2L11.4 8H16l-1.2 7.4c-.1.4-.4.6-.8.6H7zM7 9H4v7h3",
  down: "M13 11l-3 6c-1.4 0-2-1-1.8-2.2l.4-2.8H4l1.2-7.4c.1-.4.4-.6.8-.6h7zM13 11h3V4h-3",
  trash: "M4 6h12M8 6V4h4v2M5.5 6l.8 10h7.4l.8-10M8.5 9v4.5M11.5 9v4.5",
  sun: "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M10 1.8v1.8M10 16.4v1.8M1.8 10h1.8M16.4 10h1.8M4.2 4.2l1.3 1.3M14.5 14.5l1.3 1.3M4.2 15.8l1.3-1.3M14.5 5.5l1.3-1.3",
  moon: "M16 11.8A6.6 6.6 0 0 1 8.2 4a6.6 6.6 0 1 0 7.8 7.8z",
  system: "M3 4h14v9H3zM7 16.5h6M10 13v3.5",
  export: "M10 12V3M6.5 6L10 2.8 13.5 6M4 11v5h12v-5",
  import: "M10 3v9M6.5 9l3.5 3.2L13.5 9M4 11v5h12v-5",
  latest: "M10 4v12M5 11l5 5 5-5",
  warning: "M10 3l7.5 13.5h-15zM10 8v4M10 14.2v.3",
};

/** A node: `h("p", { class: "note", onclick: f }, "text", node)`. A key with `on` listens; false and null are left out. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  // Children first: below a `dir` of "auto" Chromium looks for the direction anew at each one, which is quadratic.
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined)
      node.setAttribute(name, value === true ? "" : value);
  }
  return node;
}

/** A drawing beside a label: never read aloud. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of [
    ["viewBox", "0 0 20 20"],
    ["aria-hidden", "true"],
    ["class", "icon"],
  ])
    svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button that shows an icon and says `label`. */
export function iconButton(name, label, onclick, attributes = {}) {
  return h(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...attributes },
    icon(name),
  );
}

/** The element of the page with this id. */
export const byId = (id) => document.getElementById(id);
