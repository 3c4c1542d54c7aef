// Draws what the gateways measure, and asks for it anew each second.
"use strict";

const EVERY = 1000; // ms
const RELOAD = 5000; // ms
const FRAMES = 0, P50 = 2, P99 = 3, REDIS = 4, CLIENTS = 5; // of a sample
const WIDTH = 240, HEIGHT = 64, LENGTH = 120;
const SVG = "http://www.w3.org/2000/svg";

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const milliseconds = value => (value === null ? "–" : `${number.format(value)} ms`);
const last = list => (list.length ? list[list.length - 1] : null);

function polyline(values, top, name) {
  const step = WIDTH / (LENGTH - 1), first = LENGTH - values.length;
  const points = values
    .map((value, n) => (value === null ? null
      : `${((first + n) * step).toFixed(1)},${(HEIGHT - 3 - (value / top) * (HEIGHT - 8)).toFixed(1)}`))
    .filter(point => point !== null);
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", points.join(" "));
  if (name) line.setAttribute("class", name);
  return line;
}

function draw(svg, ...series) {
  const top = Math.max(1, ...series.flat().filter(value => value !== null)) * 1.05;
  const base = document.createElementNS(SVG, "line");
  for (const [name, value] of [["x1", 0], ["x2", WIDTH], ["y1", HEIGHT - 1], ["y2", HEIGHT - 1]]) {
    base.setAttribute(name, value);
  }
  svg.replaceChildren(base, ...series.map((values, n) => polyline(values, top, n ? "second" : "")));
}

// One series of all gateways, counted from their newest samples backwards.
function together(gateways, column, add) {
  const length = Math.max(0, ...gateways.map(gateway => gateway.samples.length));
  const merged = [];
  for (let back = length; back > 0; back--) {
    const values = gateways
      .map(gateway => gateway.samples[gateway.samples.length - back]?.[column] ?? null)
      .filter(value => value !== null);
    merged.push(values.length ? values.reduce(add) : null);
  }
  return merged;
}

const plus = (a, b) => a + b;
const slower = (a, b) => Math.max(a, b);

function age(started) {
  const minutes = Math.max(0, Math.round((Date.now() / 1000 - started) / 60));
  if (minutes < 60) return `${minutes} min`;
  return minutes < 2880 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} d`;
}

function cell(text, name) {
  const element = document.createElement("td");
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

function row(gateway) {
  const line = document.createElement("tr"), state = cell(""), tag = document.createElement("span");
  tag.className = gateway.draining ? "tag bad" : "tag good";
  tag.textContent = gateway.draining ? "draining" : "ready";
  state.append(tag);
  const frames = gateway.samples.map(sample => sample[FRAMES]);
  const spark = document.createElementNS(SVG, "svg"), chart = cell("");
  spark.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  spark.setAttribute("preserveAspectRatio", "none");
  spark.setAttribute("class", "spark");
  spark.setAttribute("aria-hidden", "true");
  draw(spark, frames);
  chart.append(spark);
  const name = cell(gateway.name);
  if (gateway.address) name.append(document.createElement("br"), gateway.address);
  line.append(name, state, cell(gateway.version), cell(gateway.started ? age(gateway.started) : "–"),
    cell(gateway.clients ?? "–", "number"), cell(number.format(last(frames) ?? 0), "number"), chart);
  return line;
}

// Addresses come with the page, for an admin; whoever asks for figures gets none.
const addresses = new Map();
const withAddresses = ({ redis, gateways }) =>
  ({ redis, gateways: gateways.map(each => ({ ...each, address: addresses.get(each.name) })) });

const part = (kind, key) => document.getElementById(`${kind}-${key}`);

function show({ redis, gateways }) {
  document.getElementById("trouble").textContent = redis ? `Redis does not answer: ${redis}` : "";
  const count = gateways.reduce((sum, gateway) => sum + (gateway.clients ?? 0), 0);
  const frames = together(gateways, FRAMES, plus);
  const fast = together(gateways, P50, slower), slow = together(gateways, P99, slower);
  const waits = together(gateways, REDIS, slower);
  part("value", "clients").textContent = number.format(count);
  part("value", "frames").textContent = number.format(last(frames) ?? 0);
  part("value", "times").textContent = `${milliseconds(last(fast))} / ${milliseconds(last(slow))}`;
  part("value", "redis").textContent = redis ? "no answer" : milliseconds(last(waits));
  draw(part("chart", "clients"), together(gateways, CLIENTS, plus));
  draw(part("chart", "frames"), frames);
  draw(part("chart", "times"), fast, slow);
  draw(part("chart", "redis"), waits);
  document.getElementById("gateways").replaceChildren(...gateways.map(row));
}

// Where only admins see figures, they come with the page: no token that a script could take is in it.
async function look({ url, reloads }) {
  if (document.hidden) return;
  try {
    const answer = await fetch(url);
    if (answer.ok && reloads) location.reload();
    else if (answer.ok) show(withAddresses(await answer.json()));
    else throw new Error(`status ${answer.status}`);
  } catch (error) {
    document.getElementById("trouble").textContent = `The hub does not answer (${error.message}); you see what was there before.`;
  }
}

const figures = document.getElementById("figures");
if (figures) {
  const first = JSON.parse(figures.dataset.figures);
  for (const { name, address } of first.gateways) if (address) addresses.set(name, address);
  show(first);
  setInterval(() => look(figures.dataset), figures.dataset.reloads ? RELOAD : EVERY);
}
