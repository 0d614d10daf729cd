// The table of one dictionary's latents, with charts that show and set its filters.
"use strict";

const page = { key: null, table: null, rows: [], all: [], place: -1, draw: [] };

// Whether a number passes a filter such as `>.7`, `<=.3`, `0.3..0.7` or `12`; text has to hold the filter.
function passes(wanted, value) {
  const text = wanted.trim();
  if (!text) return true;
  if (typeof value === "boolean") return (value ? "yes" : "no").startsWith(text.toLowerCase());
  if (typeof value === "string") return value.toLowerCase().includes(text.toLowerCase());
  const range = text.match(/^([-+.\de]*?)\.\.([-+.\de]+)$/);
  const bound = text.match(/^(>=?|<=?|=)?\s*([-+.\de]+)$/);
  if (value === null || value === undefined) return false;
  if (range) return value >= Number(range[1] || -Infinity) && value <= Number(range[2]);
  if (!bound || Number.isNaN(Number(bound[2]))) return true; // still being typed
  const n = Number(bound[2]);
  return { ">": value > n, ">=": value >= n, "<": value < n, "<=": value <= n }[bound[1]] ?? value === n;
}

// Numbers in their order, what is missing at the end.
const inOrder = (a, b) => (a === null) - (b === null) || (typeof a === "string" ? a.localeCompare(b) : a - b);

function column(found) {
  const words = ["fires", "sets"].includes(found.key);
  return {
    title: found.title,
    field: found.key.replaceAll(".", "·"),
    headerTooltip: false,
    width: words ? 150 : Math.max(96, 9 * found.title.length + 40),
    headerFilter: "input",
    headerFilterPlaceholder: words ? "text" : found.key === "alive" ? "yes / no" : "> .5",
    headerFilterFunc: passes,
    headerFilterLiveFilter: true,
    sorter: inOrder,
    formatter: (cell) =>
      found.key === "latent"
        ? make("a", { href: `latent.html#${page.key}/${cell.getValue()}` }, String(cell.getValue()))
        : document.createTextNode(shown(cell.getValue())),
  };
}

function charts(table, members) {
  const fields = new Set(table.columns.map(({ key }) => key)), parts = [];
  const nrn = (row) => row.nrn_l1;
  parts.push([
    ...histogram("NRN", `NRN of all latents (grey) and of those that pass the filters (blue); counts on a log scale. 1: ${members.at(-1)}'s alone, 0: ${members[0]}'s alone.`,
      (lo, hi) => page.table.setHeaderFilterValue("nrn_l1", `${lo.toFixed(3)}..${hi.toFixed(3)}`)),
    (rows) => rows.map(nrn),
  ]);
  if (members.length === 3 && fields.has("mas_l1_2")) {
    // Corners: the first member below on the left, the second on the right, the last above.
    const point = (row) => (row.mas_l1_0 === null ? null : [row.mas_l1_1 + row.mas_l1_2 / 2, row.mas_l1_2]);
    parts.push([
      ...plane("MAS", "Shares of the decoder norm (MAS): a latent near a corner is that model's alone.",
        [[members[0], 0, -0.07], [members[1], 1, -0.07], [members[2], 0.5, 1.03]], [[0, 0], [1, 0], [0.5, 1]], within(point)),
      (rows) => rows.map(point).filter((p) => p),
    ]);
  } else {
    // The cosines of most dictionaries lie near 1: from the lowest one on, rounded down.
    const least = page.all.reduce((low, { cosine }) => Math.min(low, cosine ?? 1), 0.9), low = Math.floor(10 * least) / 10;
    const point = (row) =>
      row.nrn_l1 === null || row.cosine === null ? null : [row.nrn_l1, (row.cosine - low) / (1 - low)];
    parts.push([
      ...plane("cosine", "NRN (from left to right, 0 to 1) and the cosine of the first and the last decoder (from below, the lowest one to 1).",
        [["NRN 0", 0, -0.07], ["NRN 1", 1, -0.07], ["cosine 1", 0.02, 1.03], [low.toFixed(1), -0.05, 0.02]], [[0, 0], [1, 0], [1, 1], [0, 1]], within(point)),
      (rows) => rows.map(point).filter((p) => p),
    ]);
  }
  document.getElementById("charts").replaceChildren(...parts.map(([figure]) => figure));
  page.draw = parts.map(([, draw, of]) => () => draw(of(page.all), of(page.rows)));
}

// A filter of points within a dragged rectangle.
const within = (point) => (u, v) => {
  page.table.clearFilter(false);
  page.table.addFilter((row) => {
    const at = point(row);
    return at !== null && at[0] >= u[0] && at[0] <= u[1] && at[1] >= v[0] && at[1] <= v[1];
  });
};

function explain(table) {
  document.getElementById("columns").replaceChildren(
    ...table.columns.flatMap(({ title, says, source }) => [
      make("dt", {}, title),
      make("dd", {}, `${says} `, make("a", { href: source }, source.split("/").at(-1))),
    ]),
  );
}

async function show(key) {
  const found = site.state.catalogue.dictionaries.find((one) => one.key === key);
  if (!found) return;
  document.getElementById("dictionary").value = key;
  const table = await site.tableOf(key);
  page.key = key;
  const keys = table.columns.map((one) => one.key);
  page.all = table.values.latent.map((_, i) => Object.fromEntries(keys.map((k) => [k.replaceAll(".", "·"), table.values[k][i]])));
  page.rows = page.all;
  page.table?.destroy();
  charts(table, found.members);
  explain(table);
  page.table = new Tabulator("#table", {
    data: page.all,
    index: "latent",
    columns: table.columns.map(column),
    layout: "fitData",
    height: "30rem",
    columnDefaults: { resizable: false },
    initialHeaderFilter: [{ field: "alive", value: "yes" }],
    rowFormatter: (row) => row.getElement().classList.toggle("chosen", page.rows[page.place]?.latent === row.getData().latent),
  });
  await new Promise((done) => page.table.on("tableBuilt", done));
  changed();
  page.table.on("dataFiltered", () => setTimeout(changed));
  page.table.on("dataSorted", () => setTimeout(changed));
  page.table.on("rowDblClick", (_, row) => open_(row.getData()));
  performance.mark("shown");
  document.body.dataset.ready = key;
}

function changed() {
  page.rows = page.table.getData("active");
  page.place = -1;
  page.draw.forEach((draw) => draw());
  document.getElementById("count").textContent = `${page.rows.length} of ${page.all.length} latents`;
  // The pages of latents go through the list in this order.
  try {
    sessionStorage.setItem(`list ${page.key}`, page.rows.map(({ latent }) => latent).join(" "));
  } catch {
    // Without a store they go by number.
  }
}

const open_ = (row) => (location.href = `latent.html#${page.key}/${row.latent}`);

function move(step) {
  const before = page.rows[page.place];
  page.place = Math.min(page.rows.length - 1, Math.max(0, page.place + step));
  const row = page.rows[page.place];
  if (!row) return;
  page.table.scrollToRow(row.latent, "nearest", false).catch(() => {});
  for (const one of [before, row]) if (one) page.table.getRow(one.latent).reformat();
}

document.addEventListener("keydown", (event) => {
  if (typing(event) || !page.table) return;
  const steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
  if (event.key === "/") document.querySelector("#table .tabulator-header-filter input").focus();
  else if (steps[event.key]) move(steps[event.key]);
  else if (event.key === "Enter" && page.rows[page.place] && !event.target.closest("a, button")) open_(page.rows[page.place]);
  else return;
  event.preventDefault();
});

document.getElementById("dictionary").addEventListener("change", (event) => (location.hash = event.target.value));
document.getElementById("clear").addEventListener("click", () => {
  page.table.clearFilter(true);
});
const wanted = () => decodeURIComponent(location.hash.slice(1));
addEventListener("hashchange", () => show(wanted()));
const known = site.state.catalogue.dictionaries.some(({ key }) => key === wanted());
const first = known ? wanted() : site.state.catalogue.first;
if (first) show(first);
