// One latent: the texts it fires on, its numbers, what it writes, its neighbours. `latent.html#dictionary/.../number`.
"use strict";

const FEW = 3; // members whose rows are all shown; of more, the first and the last

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

function passage({ peak, tokens, values, sequence, position }, largest) {
  const text = make("span", { class: "text" });
  tokens.forEach((token, i) => {
    const value = values[i] ?? 0, kind = values[i] === null ? " norow" : i === peak ? " peak" : "";
    const span = make("span", { class: `token${kind}`, title: values[i] === null ? "not read" : shown(values[i]) }, visible(token));
    if (value > 0) span.style.background = `rgba(0, 114, 178, ${(0.1 + 0.5 * Math.min(1, value / largest)).toFixed(3)})`;
    text.append(span);
  });
  const label = make("span", { class: "value", title: `sequence ${sequence}, token ${position}` }, shown(values[peak]));
  text.addEventListener("click", (event) => {
    if (event.target.classList.contains("token")) label.textContent = event.target.title;
  });
  return make("div", { class: "passage" }, label, text);
}

function passages(entry, members, folder) {
  const largest = Math.max(...entry.passages.map(({ peak, values }) => values[peak]));
  const of = (code, band) => entry.passages.filter((one) => one.code === code && one.band === band);
  const group = (title, found) => found.length && make("div", {}, make("h3", {}, title), ...found.map((one) => passage(one, largest)));
  const total = entry.density?.counts.reduce((a, b) => a + b, 0);
  const share = (lo, hi) => `${((100 * entry.density.counts.slice(lo, hi).reduce((a, b) => a + b, 0)) / total).toFixed(0)} %`;
  const strongest = members.map((member) => group(`Strongest by ${member}`, of(member, "top"))).filter((part) => part);
  const between = members.length > FEW ? strongest.splice(1, strongest.length - 2) : [];
  // Bins of the density: 20 equal ones up to the largest activation.
  const weaker = [["50-100 %", 10, 20], ["25-50 %", 5, 10], ["0-25 %", 0, 5]]
    .map(([band, lo, hi]) => [of("joint", band), band, lo, hi])
    .map(([found, band, lo, hi]) => found.length && group(`A sample at ${band} of the largest activation: ${share(lo, hi)} of its firings`, found))
    .filter((part) => part);
  const from = make("a", { href: `${folder}/inspection/passages.parquet` }, "passages.parquet");
  return make("section", { id: "passages" }, make("h2", {}, "Texts it fires on"),
    make("p", { class: "note" }, "Left: activation at the peak, which is underlined. The darker a token, the stronger the latent there; grey tokens were not read. Click a token for its value. ", from),
    entry.passages.length ? null : make("p", {}, "It fires on no held-out token."),
    make("div", { class: "pair" }, ...strongest, ...weaker),
    between.length && make("details", {}, make("summary", {}, "Strongest by the checkpoints between"), make("div", { class: "pair" }, ...between)));
}

function numbers(table, latent) {
  const rows = table.columns.filter(({ key }) => !key.includes(":") && key !== "latent").map(({ key, title, says, source }) =>
    make("tr", {}, make("th", { title: says }, make("a", { href: source }, title)), make("td", {}, shown(table.values[key][latent]))));
  return make("section", { id: "numbers" }, make("h2", {}, "Numbers"), make("table", {}, make("tbody", {}, ...rows)));
}

function lens(entry, members, folder) {
  const parts = [];
  const shown = members.length > FEW ? [members[0], members.at(-1)] : members;
  for (const of of [...shown, "difference"]) {
    const found = entry.lens[of];
    if (!found) continue;
    parts.push(make("h3", {}, of === "difference" ? `${members.at(-1)} minus ${members[0]}` : of));
    for (const side of ["promoted", "suppressed"]) {
      const tokens = found[side].map(([token, logit]) =>
        make("li", {}, make("span", { class: "token" }, visible(token)), make("span", { class: "logit" }, ` ${logit > 0 ? "+" : ""}${logit.toFixed(1)}`)));
      parts.push(make("div", { class: "side" }, make("span", {}, side), make("ol", { class: "lens" }, ...tokens)));
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

// A table with a row per group and a column per task; cells are [text, whether it is set in bold].
function byTask(head, groups, tasks) {
  const rows = [...groups].map(([name, cells]) => make("tr", {},
    ...name.split("\n").map((word) => make("td", {}, word)),
    ...tasks.map((task) => {
      const [text, bold] = cells[task] ?? ["–", false];
      return make("td", bold ? { class: "kept" } : {}, text);
    })));
  return make("div", { class: "wide" }, make("table", {},
    make("thead", {}, make("tr", {}, ...[...head, ...tasks].map((word) => make("th", {}, word)))), make("tbody", {}, ...rows)));
}

function grouped(rows, name, cell) {
  const groups = new Map();
  for (const row of rows) {
    if (!groups.has(name(row))) groups.set(name(row), {});
    Object.assign(groups.get(name(row)), cell(row));
  }
  return groups;
}

const signed = (value) => (value > 0 ? "+" : "") + shown(value);
const sourceOf = (table, ending) => table.columns.map(({ source }) => source).find((source) => source.endsWith(ending));

function alone(entry, table) {
  if (!entry.alone.length) return null;
  const tasks = [...new Set(entry.alone.map((row) => row[4]))], prompts = entry.alone[0][5];
  const rows = (title, cell) => grouped(entry.alone, ([procedure, state, edit, dose]) => [procedure, state, `${edit}, dose ${dose}`, title].join("\n"), cell);
  const groups = [
    ...rows("accuracy", (row) => ({ [row[4]]: [`${shown(row[6])} (${signed(row[7])})`, false] })),
    ...rows("KL", (row) => ({ [row[4]]: [`${shown(row[8])} (${signed(row[9])})`, false] })),
  ];
  return make("section", { id: "alone" }, make("h2", {}, "What editing it alone does"),
    make("p", { class: "note" }, `Real edits through this latent alone, at the dose of its whole set, on the first ${prompts} test prompts of each task; in brackets the change against the unedited model. KL: distance from the model that the edit aims at, nats per token. `,
      make("a", { href: sourceOf(table, ".alone.parquet") }, "table")),
    byTask(["procedure", "model", "edit", "of"], groups, tasks));
}

// How the nearest latent of the dictionary over checkpoints came about.
async function overTraining(entry, found) {
  const course = site.state.catalogue.dictionaries.find(({ key }) => key === found.course);
  if (!course || !entry.neighbours.course.length) return null;
  const [[other, cosine]] = entry.neighbours.course;
  const its = await site.entryOf(course.key, other);
  return make("section", { id: "course" }, make("h2", {}, "Over training"),
    make("p", { class: "note" }, "The latent of ", course.key, " whose row in the last model points most like this one's: ", link(course.key, other),
      `, cosine ${shown(cosine)}. Its decoder norm in each checkpoint: `,
      make("a", { href: `${course.folder}/features.parquet` }, "features.parquet")),
    bars(course.members.map((member, m) => [member, its.norms[m]]), "decoder norms over training"));
}

function scores(entry, table) {
  if (!entry.scores.length) return null;
  const tasks = [...new Set(entry.scores.map((row) => row[2]))];
  const groups = grouped(entry.scores, ([procedure, name]) => `${procedure}\n${name}`, (row) => ({ [row[2]]: [shown(row[3]), row[5]] }));
  return make("section", { id: "scores" }, make("h2", {}, "Scores on critical samples"),
    make("p", { class: "note" }, "Bold: in the task's own list. 'attribution' is an estimate, from gradients, of how much exchanging the latent alone takes from the KL between the models; it is no edit that was run. ",
      make("a", { href: sourceOf(table, "scores.parquet") }, "scores.parquet")),
    byTask(["procedure", "score"], groups, tasks));
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
  const table = await site.tableOf(key), entry = await site.entryOf(key, latent), course = await overTraining(entry, found);
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
    make("div", { class: "grid" }, ...[numbers(table, latent), decoders(found, entry), course, neighbours(entry, key, table, found.folder)].filter((part) => part)),
    lens(entry, found.members, found.folder),
    alone(entry, table),
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
