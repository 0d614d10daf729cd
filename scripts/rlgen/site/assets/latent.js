// One latent: the texts it fires on, its numbers, what it writes, its neighbours. `latent.html#dictionary/.../number`.
"use strict";

const link = (key, latent) => make("a", { href: `#${key}/${latent}` }, String(latent));

function parsed() {
  const parts = decodeURIComponent(location.hash.slice(1)).split("/");
  const latent = Number(parts.pop()), key = parts.join("/");
  return { key, latent, found: site.state.catalogue.dictionaries.find((one) => one.key === key) };
}

// Latents in the order of the table that one came from, else by number.
function list(key, table) {
  let kept = null;
  try {
    kept = sessionStorage.getItem(`list ${key}`);
  } catch {
    // No store: by number.
  }
  return kept ? kept.split(" ").map(Number) : table.values.latent.filter((_, i) => table.values.alive[i]);
}

function passage({ peak, tokens, values, sequence, position }) {
  const top = Math.max(...values.map((value) => value ?? 0), 1e-9);
  const text = make("span", { class: "text" });
  tokens.forEach((token, i) => {
    const value = values[i] ?? 0;
    const span = make("span", { class: i === peak ? "token peak" : "token", title: `${shown(values[i])}` }, visible(token));
    if (value > 0) span.style.background = `rgba(0, 114, 178, ${(0.12 + 0.48 * (value / top)).toFixed(3)})`;
    text.append(span);
  });
  const label = make("span", { class: "value", title: `sequence ${sequence}, token ${position}` }, shown(values[peak]));
  text.addEventListener("click", (event) => {
    if (event.target.classList.contains("token")) label.textContent = event.target.title;
  });
  return make("div", { class: "passage" }, label, text);
}

function passages(entry, members, folder) {
  const parts = [];
  const groups = Map.groupBy
    ? Map.groupBy(entry.passages, (p) => `${p.code}\n${p.band}`)
    : entry.passages.reduce((map, p) => map.set(`${p.code}\n${p.band}`, [...(map.get(`${p.code}\n${p.band}`) ?? []), p]), new Map());
  for (const member of members) {
    const own = groups.get(`${member}\ntop`);
    if (own) parts.push(make("h3", {}, `Strongest by ${member}`), ...own.map(passage));
  }
  const total = entry.density?.counts.reduce((a, b) => a + b, 0);
  for (const [band, lo, hi] of [["50-100 %", 10, 20], ["25-50 %", 5, 10], ["0-25 %", 0, 5]]) {
    const own = groups.get(`joint\n${band}`);
    if (!own) continue;
    const inside = entry.density.counts.slice(lo, hi).reduce((a, b) => a + b, 0);
    const share = `${((100 * inside) / total).toFixed(0)} % of its firings`;
    parts.push(make("h3", {}, `A sample at ${band} of the largest activation (${share})`), ...own.map(passage));
  }
  if (!parts.length) parts.push(make("p", {}, "It fires on no held-out token."));
  const from = make("a", { href: `${folder}/inspection/passages.parquet` }, "passages.parquet");
  return make("section", { id: "passages" }, make("h2", {}, "Texts it fires on"),
    make("p", { class: "note" }, "Left: activation at the peak, which is underlined. The darker a token, the stronger the latent there; click a token for its value. ", from),
    ...parts);
}

function numbers(table, latent) {
  const rows = table.columns.filter(({ key }) => !key.includes(":") && key !== "latent").map(({ key, title, says, source }) =>
    make("tr", {}, make("th", { title: says }, make("a", { href: source }, title)), make("td", {}, shown(table.values[key][latent]))));
  return make("section", { id: "numbers" }, make("h2", {}, "Numbers"), make("table", {}, make("tbody", {}, ...rows)));
}

function lens(entry, members, folder) {
  const parts = [];
  for (const of of [...members, "difference"]) {
    const found = entry.lens[of];
    if (!found) continue;
    parts.push(make("h3", {}, of === "difference" ? `${members.at(-1)} minus ${members[0]}` : of));
    for (const side of ["promoted", "suppressed"]) {
      const tokens = found[side].map(([token, logit]) =>
        make("li", {}, make("span", { class: "token" }, visible(token)), make("span", { class: "logit" }, ` ${logit > 0 ? "+" : ""}${logit.toFixed(1)}`)));
      parts.push(make("div", {}, `${side}: `, make("ol", { class: "lens" }, ...tokens)));
    }
  }
  if (!parts.length) return null;
  const from = make("a", { href: `${folder}/inspection/lens.parquet` }, "lens.parquet");
  return make("section", { id: "lens" }, make("h2", {}, "Tokens its decoder rows promote and suppress"),
    make("p", { class: "note" }, "Logit lens: the decoder row of each model, and the difference that an exchange adds, read by the model's final norm and head. Logits above the mean of the vocabulary; the norm takes away a row's length, so they rank tokens and do not compare latents. ", from),
    ...parts);
}

function decoders(found, entry) {
  const rows = found.members.map((member, m) => [member, entry.norms[m]]);
  const parts = [
    make("h2", {}, "Decoder norm in each model"),
    bars(rows, "decoder norms"),
    make("p", { class: "note" },
      found.members.length > 3 ? "The models are checkpoints of one training: the norm shows when the latent appeared. " : "",
      "What one unit of activation writes, in units of the residual stream. ",
      make("a", { href: `${found.folder}/features.parquet` }, "features.parquet")),
  ];
  if (entry.density) parts.push(make("h2", {}, "Activations"), activations(entry.density),
    make("p", { class: "note" }, "Held-out tokens by activation of the joint code, between 0 and the largest; counts on a log scale. ",
      make("a", { href: `${found.folder}/inspection/density.parquet` }, "density.parquet")));
  return make("section", { id: "decoders" }, ...parts);
}

function scores(entry, table) {
  if (!entry.scores.length) return null;
  const head = ["procedure", "score", "task", "value", "share", "in the task's list"];
  const rows = entry.scores.map(([procedure, name, task, value, share, kept]) =>
    make("tr", kept ? { class: "kept" } : {}, ...[procedure, name, task, shown(value), shown(share), kept ? "yes" : ""].map((cell) => make("td", {}, cell))));
  const from = table.columns.map(({ source }) => source).find((source) => source.endsWith("scores.parquet"));
  return make("section", { id: "scores" }, make("h2", {}, "Scores on critical samples"),
    make("p", { class: "note" }, "Share: of the sum of positive scores, or of the models' mean difference. 'attribution' is an estimate, from gradients, of how much exchanging the latent alone takes from the KL between the models; it is no edit that was run. ",
      make("a", { href: from }, "scores.parquet")),
    make("div", { class: "wide" }, make("table", {}, make("thead", {}, make("tr", {}, ...head.map((word) => make("th", {}, word)))), make("tbody", {}, ...rows))));
}

function neighbours(entry, key, table, folder) {
  const words = { decoder: "By decoder (cosine of all models' rows, side by side)", firing: "By firing (Jaccard of the tokens on which both fire)" };
  const parts = Object.entries(words).flatMap(([by, title]) => entry.neighbours[by].length ? [
    make("h3", {}, title),
    make("table", {}, make("tbody", {}, ...entry.neighbours[by].map(([other, value]) =>
      make("tr", {}, make("td", {}, link(key, other)), make("td", {}, shown(value)), make("td", {}, table.values.fires[other]))))),
  ] : []);
  if (!parts.length) return null;
  const from = make("a", { href: `${folder}/inspection/neighbours.parquet` }, "neighbours.parquet");
  return make("section", { id: "neighbours" }, make("h2", {}, "Nearest latents"), make("p", { class: "note" }, from), ...parts);
}

let around = {};

async function show() {
  const { key, latent, found } = parsed(), body = document.getElementById("latent");
  if (!found || !(latent >= 0 && latent < found.latents)) {
    body.replaceChildren(make("p", {}, "There is no such latent. ", make("a", { href: "index.html" }, "All latents")));
    document.body.dataset.ready = "none";
    return;
  }
  const table = await site.tableOf(key), entry = await site.entryOf(key, latent);
  const order = list(key, table), place = order.indexOf(latent);
  around = {
    next: order[place + 1] ?? order[0],
    previous: place > 0 ? order[place - 1] : order.at(-1),
    up: `index.html#${key}`,
    key,
  };
  const sets = Object.entries(found.sets).filter(([, latents]) => latents.includes(latent));
  document.title = `Latent ${latent} of ${key}`;
  document.getElementById("path").replaceChildren(make("a", { href: around.up }, key), ` / ${latent}`);
  const badges = sets.map(([name, latents]) =>
    make("span", {}, `rank ${latents.indexOf(latent) + 1} of ${latents.length} in the set of `, make("a", { href: `procedure-${name}.html` }, name)));
  body.replaceChildren(...[
    make("h1", {}, `Latent ${latent}`),
    make("p", { class: "steps" },
      make("a", { href: `#${key}/${around.previous}`, rel: "prev" }, "← previous"), make("a", { href: `#${key}/${around.next}`, rel: "next" }, "next →"),
      make("span", { class: "help" }, make("kbd", {}, "k"), " ", make("kbd", {}, "j"), ` or arrows; `, make("kbd", {}, "u"), " back to the table"), ...badges),
    passages(entry, found.members, found.folder),
    make("div", { class: "grid" }, ...[numbers(table, latent), decoders(found, entry), neighbours(entry, key, table, found.folder)].filter((part) => part)),
    lens(entry, found.members, found.folder),
    scores(entry, table),
  ].filter((part) => part));
  performance.mark("shown");
  document.body.dataset.ready = `${key}/${latent}`;
}

document.addEventListener("keydown", (event) => {
  if (typing(event) || !around.key) return;
  const to = { j: around.next, ArrowRight: around.next, k: around.previous, ArrowLeft: around.previous }[event.key];
  if (event.key === "u" || event.key === "Escape") location.href = around.up;
  else if (to !== undefined) location.hash = `${around.key}/${to}`;
  else return;
  event.preventDefault();
});
addEventListener("hashchange", show);
show();
