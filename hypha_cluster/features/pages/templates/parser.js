// Has the hub parse a plugin file, and shows what it answers.
"use strict";

const form = document.getElementById("parser"), source = document.getElementById("source");
const file = document.getElementById("file"), state = document.getElementById("state");
const result = document.getElementById("result");
const NO_APPS = "This hub parses no plugins: it has no server apps. Its operator turns them on by --enable-server-apps.";

file.addEventListener("change", async () => {
  if (file.files.length) source.value = await file.files[0].text();
});

async function parse() {
  const { url, token } = form.dataset;
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ source: source.value }) });
  if (answer.status === 404) throw new Error(NO_APPS);
  if (answer.status === 401) throw new Error("This page is too old; load it again.");
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.detail);
  return said;
}

form.addEventListener("submit", async event => {
  event.preventDefault();
  state.textContent = "Parsing …";
  result.hidden = true;
  try {
    result.textContent = JSON.stringify(await parse(), null, 2);
    result.hidden = false;
    state.textContent = "It is a plugin.";
  } catch (error) {
    state.textContent = error instanceof TypeError ? "The hub does not answer." : error.message;
  }
});
