// What all pages share: data that scripts hand over, elements, and words. No text of the data is ever read as HTML.
"use strict";

const site = (() => {
  const state = { catalogue: null, tables: {}, chunks: {} };
  const loading = {};

  // Load a script once. A page that was opened from disk may load scripts and may not fetch files.
  function load(source) {
    loading[source] ??= new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = source;
      script.onload = done;
      script.onerror = () => failed(new Error(`${source} is missing`));
      document.head.append(script);
    });
    return loading[source];
  }

  async function tableOf(key) {
    await load(`data/${key}/table.js`);
    return state.tables[key];
  }

  async function entryOf(key, latent) {
    const number = Math.floor(latent / state.catalogue.chunk);
    await load(`data/${key}/chunk${String(number).padStart(4, "0")}.js`);
    return state.chunks[`${key}#${number}`][latent];
  }

  return {
    state,
    tableOf,
    entryOf,
    catalogue: (found) => (state.catalogue = found),
    table: (key, found) => (state.tables[key] = found),
    chunk: (key, number, found) => (state.chunks[`${key}#${number}`] = found),
  };
})();

// An element: its attributes, then children, which are elements or text.
function make(name, attributes, ...children) {
  const element = document.createElementNS(
    ["svg", "rect", "line", "text", "title", "path"].includes(name) ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml",
    name,
  );
  for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== 0));
  return element;
}

function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return Math.abs(value) < 5e-4 ? value.toExponential(1) : value.toFixed(3);
}

// Words for white space that would not be seen.
const visible = (text) => text.replaceAll("\n", "↵\n").replaceAll("\t", "⇥");

const typing = (event) =>
  event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, summary");
