// Shows what is registered meanwhile, and takes away what has gone.
"use strict";

const EVERY = 1500; // ms
const LONGEST = 200; // characters, as the page has it
const list = document.getElementById("services");
const trouble = document.getElementById("trouble");
const shorten = (text, length) => (text.length > length ? `${text.slice(0, length)}…` : text);

function card(info) {
  const item = document.createElement("li"), heading = document.createElement("h3");
  const link = document.createElement("a"), about = document.createElement("p");
  const small = document.createElement("small");
  item.className = "card";
  item.dataset.id = info.id;
  link.href = `?service=${encodeURIComponent(info.id)}`;
  link.textContent = shorten(String(info.name || info.id), 80);
  about.textContent = shorten(String(info.description || ""), LONGEST);
  small.textContent = [info.id, info.type, info.config?.visibility]
    .filter(Boolean).map(text => shorten(String(text), 120)).join(" · ");
  heading.append(link);
  item.append(heading, about, small);
  return item;
}

function show(infos) {
  const wanted = new Map(infos.filter(info => !info.id.endsWith(":built-in"))
    .slice(0, LONGEST).map(info => [info.id, info]));
  for (const item of [...list.children]) {
    if (!wanted.delete(item.dataset.id)) item.remove();
  }
  for (const info of wanted.values()) list.append(card(info));
  document.getElementById("none").hidden = list.children.length > 0;
}

async function look() {
  if (document.hidden) return;
  const { url, token } = list.dataset;
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    const answer = await fetch(url, { headers });
    if (answer.ok) show(await answer.json());
    else if (answer.status === 401) trouble.textContent = "This page is too old to see changes; load it again.";
    else if (answer.status !== 404) trouble.textContent = `The hub does not list them now (${answer.status}).`;
    if (answer.ok) trouble.textContent = "";
  } catch {
    trouble.textContent = "The hub does not answer; this is as it was.";
  }
}

setInterval(look, EVERY);
