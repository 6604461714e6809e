"use strict";
// Shows the images of a set, a page at a time. What is shown comes from scripts next to the page (reports/figures.py),
// because a page that is opened from disk may load scripts but no data. Texts become text nodes, never HTML.

const PER_PAGE = 24;
const viewer = JSON.parse(document.getElementById("viewer").textContent);
const form = document.getElementById("choice");
const loaded = new Map(); // name of a script -> promise of its content
const receivers = new Map();
const datasetdm = { receive: (name, content) => receivers.get(name)(content) };
const state = { set: null, index: null, chosen: [], page: 0 };

function load(name) {
  if (!loaded.has(name)) {
    loaded.set(name, new Promise((resolve, reject) => {
      receivers.set(name, resolve);
      const script = document.createElement("script");
      script.src = `${viewer.folder}/${name}.js`;
      script.onerror = () => reject(new Error(script.getAttribute("src")));
      document.head.append(script);
    }));
  }
  return loaded.get(name);
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function drawing(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// ---- what can be chosen

function fill(select, options) {
  select.replaceChildren(...options.map(([value, text]) => element("option", { value }, text)));
  select.closest("label, fieldset").hidden = options.length < 2;
}

function counted(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

function offer(set, index) {
  const categories = [...counted(index.labels.flat())].sort((one, other) => one[0] - other[0]);
  fill(form.category, [["", "all"], ...categories.map(([label, count]) => [label, `${viewer.categories[label].name} (${count})`])]);
  const answers = counted(index.rejected);
  const reasons = index.reasons.map((reason, number) => [number, `rejected: ${reason} (${answers.get(number)})`]);
  const accepted = answers.get(-1) ?? 0;
  const rejected = index.count - accepted;
  fill(form.answer, !set.scores.length ? [] : [["", "all"], ["accepted", `accepted (${accepted})`], ["rejected", `rejected (${rejected})`], ...reasons]);
  const scores = Object.keys(viewer.scores).filter((name) => name in index.scores);
  form.score.replaceChildren(...scores.map((name) => element("option", { value: name }, viewer.scores[name].title)));
  form.range.hidden = !scores.length;
  const doubt = scores.length ? viewer.scores[scores[0]].title : "";
  const orders = scores.length ? [["doubt", `most doubtful first (lowest ${doubt})`], ["sure", `least doubtful first (highest ${doubt})`]] : [];
  fill(form.order, [["", "as made"], ...orders]);
  form.least.value = form.most.value = "";
}

// ---- what is chosen

function chosenPositions(index) {
  const category = form.category.value === "" ? null : Number(form.category.value);
  const answer = form.answer.value;
  const score = index.scores[form.score.value];
  const least = form.least.value === "" ? -Infinity : Number(form.least.value);
  const most = form.most.value === "" ? Infinity : Number(form.most.value);
  const limited = score && (form.least.value !== "" || form.most.value !== "");
  const fits = (position) =>
    (category === null || index.labels[position].includes(category)) &&
    (answer === "" || (answer === "accepted" ? index.rejected[position] < 0
      : answer === "rejected" ? index.rejected[position] >= 0 : index.rejected[position] === Number(answer))) &&
    (!limited || (score[position] !== null && score[position] >= least && score[position] <= most));
  return inOrder(index, Array.from({ length: index.count }, (_, position) => position).filter(fits));
}

function inOrder(index, positions) {
  if (!form.order.value) return positions;
  const scores = index.scores[Object.keys(viewer.scores).find((name) => name in index.scores)];
  const sign = form.order.value === "doubt" ? 1 : -1;
  const place = (position) => (scores[position] === null ? Infinity : sign * scores[position]);
  return positions.sort((one, other) => place(one) - place(other) || one - other);
}

// ---- what is shown

function layerOf(row) {
  const [width, height] = row.size;
  const layer = row.layer ?? {};
  const colour = (value) => (typeof value === "number" ? viewer.palette[value % viewer.palette.length] : value);
  const shapes = drawing("svg", { viewBox: `0 0 ${width} ${height}`, class: "layer", preserveAspectRatio: "none", "aria-hidden": "true" });
  const stroke = (d, shade, thickness) => shapes.append(drawing("path", {
    d, fill: "none", stroke: shade, "stroke-width": thickness, "stroke-linejoin": "round", "vector-effect": "non-scaling-stroke",
  }));
  if (layer.ignored) shapes.append(drawing("path", { d: layer.ignored, fill: "#000", "fill-opacity": 0.6, "fill-rule": "evenodd" }));
  for (const area of layer.areas ?? []) {
    shapes.append(drawing("path", { d: area.d, fill: colour(area.colour), "fill-opacity": 0.25, "fill-rule": "evenodd" }));
    stroke(area.d, "#000", 4.5);
    stroke(area.d, "#fff", 3);
    stroke(area.d, colour(area.colour), 1.8);
  }
  for (const line of layer.lines ?? []) { stroke(line.d, "#000", 4.5); stroke(line.d, colour(line.colour), 2.5); }
  for (const dot of layer.dots ?? []) { const d = `M${dot.x} ${dot.y}h0`; round(stroke, shapes, d, colour(dot.colour)); }
  const tags = roomy(layer.areas ?? [], width, height).map(({ area, left, top }) => {
    const tag = element("span", { class: "tag layer" }, area.text);
    tag.style.left = `${100 * left}%`;
    tag.style.top = `${100 * top}%`;
    tag.style.setProperty("--colour", colour(area.colour));
    return tag;
  });
  const picture = layer.picture ? [element("img", { class: "layer", src: layer.picture, alt: "" })] : [];
  return [...picture, shapes, ...tags];
}

function roomy(areas, width, height) { // the texts that do not cover one another, those of large objects first
  const unit = width / 16; // about 16 pixels of the page: the narrowest picture is as wide as sixteen tags are high
  const taken = [];
  for (const area of [...areas].sort((one, other) => other.size - one.size)) {
    if (!area.text) continue;
    const wide = unit * (0.6 + 0.42 * area.text.length);
    const left = Math.max(0, Math.min(area.x, width - wide));
    const top = Math.max(0, Math.min(area.y - unit, height - unit));
    if (taken.some((other) => left < other.left + other.wide && other.left < left + wide && Math.abs(top - other.top) < unit)) continue;
    taken.push({ area, left, top, wide });
  }
  return taken.map(({ area, left, top }) => ({ area, left: left / width, top: top / height }));
}

function round(stroke, shapes, d, shade) { // a line without length and with round ends is a dot
  for (const [colour, thickness] of [["#000", 8], [shade, 5.5]]) {
    stroke(d, colour, thickness);
    shapes.lastChild.setAttribute("stroke-linecap", "round");
  }
}

function figureOf(row, set) {
  const source = set.root + row.file;
  const picture = element("div", { class: "picture" }, element("img", { src: source, alt: row.caption || "an image without a caption", loading: "lazy" }));
  picture.style.aspectRatio = `${row.size[0]} / ${row.size[1]}`;
  if (row.layer) picture.append(...layerOf(row));
  const figure = element("figure", {}, picture);
  const caption = element("figcaption", {}, element("p", {}, row.caption || "(no caption)"));
  if (set.scores.length) {
    caption.append(row.rejected === null ? element("p", { class: "accepted" }, "accepted")
      : element("p", { class: "rejected" }, `rejected: ${row.rejected}`));
  }
  const scores = Object.entries(row.scores).filter(([name]) => viewer.scores[name]);
  const facts = [
    ...scores.map(([name, value]) => [viewer.scores[name].title, value === null ? "none" : String(value)]),
    ...objectsOf(row), ...Object.entries(row.origin), ["size", `${row.size[0]} × ${row.size[1]} pixels`],
  ];
  const list = element("dl", {}, ...facts.flatMap(([title, text]) => [element("dt", {}, title), element("dd", {}, text)]));
  list.append(element("dt", {}, "file"), element("dd", {}, element("a", { href: source }, decodeURIComponent(row.file))));
  if (row.layer) caption.append(toggle(figure));
  caption.append(element("details", {}, element("summary", {}, "Scores and origin"), list));
  figure.append(caption);
  return figure;
}

function objectsOf(row) { // what is annotated, in words, as not every text has room on the picture
  const texts = (row.layer?.areas ?? []).map((area) => area.text).filter(Boolean);
  return texts.length ? [["annotated", texts.join(", ")]] : [];
}

function toggle(figure) {
  const button = element("button", { type: "button", "aria-pressed": String(form.annotations.checked) }, "Annotation");
  figure.classList.toggle("bare", !form.annotations.checked);
  button.addEventListener("click", () => {
    const bare = figure.classList.toggle("bare");
    button.setAttribute("aria-pressed", String(!bare));
  });
  return button;
}

async function show() {
  const { set, index, chosen, page } = state;
  const positions = chosen.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
  const rows = await Promise.all(positions.map(async (position) => {
    const part = await load(`${set.name}/part-${String(Math.floor(position / index.part)).padStart(5, "0")}`);
    return part[position % index.part];
  }));
  if (state.page !== page || state.chosen !== chosen) return; // another choice was made meanwhile
  document.getElementById("figures").replaceChildren(...rows.map((row) => figureOf(row, set)));
  const pages = Math.max(1, Math.ceil(chosen.length / PER_PAGE));
  document.getElementById("status").textContent = `${chosen.length} of ${index.count} images, page ${page + 1} of ${pages}`;
  document.getElementById("page").textContent = `page ${page + 1} of ${pages}`;
  document.getElementById("earlier").disabled = page === 0;
  document.getElementById("later").disabled = page + 1 >= pages;
  document.getElementById("pager").hidden = pages < 2;
}

function choose() {
  state.chosen = chosenPositions(state.index);
  state.page = 0;
  return show();
}

async function open(set) {
  const index = await load(`${set.name}/index`);
  Object.assign(state, { set, index });
  offer(set, index);
  await choose();
}

function turn(step) {
  state.page += step;
  attempt(show());
  document.getElementById("images").scrollIntoView();
}

function attempt(work) {
  work.catch((error) => {
    document.getElementById("status").textContent =
      `The images cannot be shown, as ${error.message} is not next to this page. Open the page where it was made.`;
  });
}

fill(form.set, viewer.sets.map((set, number) => [number, `${set.title} (${set.count})`]));
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", (event) => {
  if (event.target.name === "annotations") attempt(show());
  else if (event.target.name === "set") attempt(open(viewer.sets[Number(form.set.value)]));
  else attempt(choose());
});
document.getElementById("earlier").addEventListener("click", () => turn(-1));
document.getElementById("later").addEventListener("click", () => turn(1));
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
if (viewer.sets.length) { form.hidden = false; attempt(open(viewer.sets[0])); }
