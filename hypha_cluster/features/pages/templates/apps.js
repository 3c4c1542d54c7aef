// Installs apps, runs them, and shows what they do, as the one who looks.
"use strict";

const EVERY = 2000; // ms between two looks
const AGAIN = 1000; // ms until a log that broke off is followed anew
const LINES = 2000; // of a log that are shown, the newest
const GOOD = new Set(["running"]), OVER = new Set(["stopped", "failed", "forgotten"]);
const WAITS = new Set(["pending", "starting", "stopping"]);

const at = id => document.getElementById(id);
const { services, workspace, page, token } = at("server-apps").dataset;
const pause = time => new Promise(done => setTimeout(done, time));

async function ask(name, values, signal) {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = JSON.stringify(values);
  const answer = await fetch(`${services}/${name}`, { method: "POST", headers, body, signal });
  if (answer.ok) return answer;
  if (answer.status === 401) throw new Error("This page is too old; load it again.");
  const text = await answer.text();
  let detail = text;
  try {
    detail = JSON.parse(text).detail;
  } catch {
    // it is no JSON, so it is shown as it is
  }
  throw new Error(String(detail).slice(0, 2000));
}

const call = async (name, values) => (await ask(name, values)).json();

function say(text) {
  at("trouble").textContent = text;
}

// Does what a button is for; meanwhile it cannot be pressed again.
async function act(button, doing, what) {
  button.disabled = true;
  say(doing);
  try {
    const done = await what();
    say(done || "");
  } catch (error) {
    say(error.message);
  } finally {
    button.disabled = false;
    if (document.activeElement === document.body) button.focus();
    await look();
  }
}

function element(kind, text, values = {}) {
  const made = document.createElement(kind);
  if (text) made.textContent = text;
  return Object.assign(made, values);
}

function button(title, name, what) {
  const made = element("button", title, { className: "quiet" });
  made.dataset.action = title;
  made.setAttribute("aria-label", `${title} ${name}`);
  made.addEventListener("click", () => what(made));
  return made;
}

function link(title, name, href) {
  const made = element("a", title, { className: "button quiet", href });
  made.setAttribute("aria-label", `${title} ${name}`);
  return made;
}

// Installed apps.

const filesOf = app => (app.attachments?.files ?? []).map(file => String(file.name ?? file));

// Files as the hub takes them; bytes cannot travel in JSON as they are.
async function chosen(input) {
  return Promise.all([...input.files].map(async file => {
    const bytes = new Uint8Array(await file.arrayBuffer());
    let text = "";
    for (let at = 0; at < bytes.length; at += 0x8000) {
      text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    }
    return { name: file.name, source: btoa(text), encoding: "base64" };
  }));
}

function shownApp(app) {
  const item = element("li", "", { className: "card" }), name = String(app.name);
  const open = link("Open", name, app.public_url);
  open.target = "_blank";
  open.rel = "noopener";
  item.append(
    element("h3", name.slice(0, 80)),
    element("p", String(app.description || "").slice(0, 200)),
    element("small", [app.id, app.version, filesOf(app).join(", ").slice(0, 200)].filter(Boolean).join(" · ")),
    document.createElement("br"),
    button("Start", name, made => act(made, `Starting ${name} …`, () => start(app))),
    button("Edit", name, made => act(made, "", () => edit(app))),
    button("Versions", name, made => act(made, "", () => versions(app))),
    open,
    button("Remove", name, made => remove(made, app)),
  );
  return item;
}

async function start(app) {
  const instance = await call("start", { app_id: app.id });
  follow(instance.id);
  return `${app.name} runs as ${instance.id}.`;
}

function remove(made, app) {
  if (!confirm(`Remove ${app.name}, and stop what runs of it?`)) return;
  act(made, "Removing it …", async () => {
    await call("uninstall", { app_id: app.id });
    return `${app.name} is removed.`;
  });
}

// Instances.

function shownInstance(instance) {
  const item = element("li", "", { className: "card" }), { id, state } = instance;
  const name = `${instance.app_name} ${id}`;
  const kind = GOOD.has(state) ? "good" : WAITS.has(state) || state === "stopped" ? "" : "bad";
  const about = [id, instance.app_id, instance.restarts ? `${instance.restarts} restarts` : ""];
  item.append(
    element("h3", String(instance.app_name).slice(0, 80)),
    element("span", state, { className: `tag ${kind}` }),
    element("p", String(instance.reason || "").slice(0, 1000), { className: "docs" }),
    element("small", about.filter(Boolean).join(" · ")),
    document.createElement("br"),
    button("Log", name, () => follow(id)),
  );
  if (state === "running") {
    item.append(link("Services", name, `${page}?service=${encodeURIComponent(`${id}:default`)}`));
  }
  if (!OVER.has(state)) {
    item.append(button("Stop", name, made => act(made, `Stopping ${id} …`, async () => {
      await call("stop", { client_id: id, workspace });
      return `${id} is stopped.`;
    })));
  }
  return item;
}

// Puts what has changed into a list, and leaves the focus where it was.
function fill(list, infos, shown) {
  const old = new Map([...list.children].map(item => [item.dataset.id, item]));
  const focused = document.activeElement?.dataset?.action;
  const items = infos.map(info => {
    const text = JSON.stringify(info), before = old.get(info.id);
    if (before?.dataset.text === text) return before;
    const item = shown(info);
    Object.assign(item.dataset, { id: info.id, text });
    if (before?.contains(document.activeElement)) {
      queueMicrotask(() => (item.querySelector(`[data-action="${focused}"]`)
        ?? item.querySelector("button"))?.focus());
    }
    return item;
  });
  if (items.length !== list.children.length || items.some((item, n) => item !== list.children[n])) {
    list.replaceChildren(...items);
  }
}

let complaint = "";

async function look() {
  try {
    const [apps, instances] = await Promise.all([
      call("list_apps", { workspace }), call("list_running", { workspace, over: true }),
    ]);
    fill(at("apps"), apps, shownApp);
    const isOver = ({ state }) => Number(OVER.has(state));
    instances.sort((one, other) => isOver(one) - isOver(other) || other.since - one.since);
    fill(at("instances"), instances, shownInstance);
    at("no-apps").hidden = apps.length > 0;
    at("no-instances").hidden = instances.length > 0;
    if (complaint && at("trouble").textContent === complaint) say("");
    complaint = "";
  } catch (error) {
    complaint = error instanceof TypeError ? "The hub does not answer; you see what was there before." : error.message;
    say(complaint);
  }
}

// The log of one instance, for as long as it lives and somebody looks.

let following = null; // what ends it

async function* linesOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    yield* lines.filter(Boolean);
  }
}

function write(entry) {
  const lines = at("log-lines"), time = new Date(entry.time * 1000).toLocaleTimeString();
  const isAtEnd = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 8;
  lines.append(element("span", `${time} ${entry.type}: ${entry.text}\n`));
  while (lines.children.length > LINES) lines.firstChild.remove();
  if (isAtEnd) lines.scrollTop = lines.scrollHeight;
}

async function follow(id) {
  following?.abort();
  const mine = following = new AbortController();
  const state = at("log-state");
  let after = "";
  at("log").hidden = false;
  at("log-title").textContent = `Log of ${id}`;
  at("log-lines").replaceChildren();
  while (!mine.signal.aborted) {
    try {
      const answer = await ask("follow", { client_id: id, workspace, after }, mine.signal);
      for await (const line of linesOf(answer.body)) {
        const entry = JSON.parse(line);
        after = entry.cursor;
        if (entry.type !== "state") write(entry);
        else if (state.textContent !== `It is ${entry.text}.`) state.textContent = `It is ${entry.text}.`;
        if (entry.type === "state" && OVER.has(entry.text)) return;
      }
    } catch (error) {
      if (mine.signal.aborted) return;
      state.textContent = error instanceof TypeError ? "The hub does not answer; trying again." : error.message;
    }
    await pause(AGAIN);
  }
}

at("log-close").addEventListener("click", () => {
  following?.abort();
  at("log").hidden = true;
});

// Installing.

function kindOf(name, text) {
  if (/<config\b/.test(text)) return "plugin";
  if (/\.html?$/.test(name)) return "page";
  return /\.py(\.txt)?$/.test(name) ? "web-python" : "window";
}

at("file").addEventListener("change", async () => {
  const [file] = at("file").files;
  if (!file) return;
  const text = await file.text();
  at("source").value = text;
  at("kind").value = kindOf(file.name, text);
  if (!at("name").value) at("name").value = file.name.replace(/(\.imjoy)?\.\w+$/, "");
});

async function recipe() {
  const kind = at("kind").value, name = at("name").value.trim(), key = at("app-id").value.trim();
  const made = { source: at("url").value.trim() || at("source").value, workspace };
  if (key) made.app_id = key;
  if (at("attachments").files.length) made.attachments = await chosen(at("attachments"));
  if (kind === "plugin") return made;
  made.config = { name: name || "An app" };
  if (kind === "page") made.template = "";
  else made.config.type = kind;
  return made;
}

at("install").addEventListener("submit", event => {
  event.preventDefault();
  const made = event.submitter ?? at("install").querySelector("button");
  act(made, "Installing it …", async () => {
    const app = await call("install", await recipe());
    if (made.value !== "start") return `${app.name} is installed.`;
    await look();
    say(`Starting ${app.name} …`);
    return start(app);
  });
});

// Editing.

async function edit(app) {
  const known = await call("get_source", { app_id: app.id });
  const dialog = at("edit"), config = at("edit-config"), files = filesOf(app);
  at("edit-files").textContent = files.length
    ? `there are ${files.join(", ").slice(0, 200)}; what you choose takes the place of all` : "there are none";
  at("edit-attachments").value = "";
  at("edit-title").textContent = `Edit ${app.name}`;
  at("edit-source").value = known.source;
  config.value = known.config ? JSON.stringify(known.config, null, 2) : "";
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise(done => dialog.addEventListener("close", done, { once: true }));
  if (dialog.returnValue !== "save") return "";
  const changes = { app_id: app.id, source: at("edit-source").value };
  if (config.value.trim()) {
    try {
      changes.config = JSON.parse(config.value);
    } catch (error) {
      throw new Error(`The config is no JSON: ${error.message}. Nothing was changed.`);
    }
  }
  if (at("edit-attachments").files.length) changes.attachments = await chosen(at("edit-attachments"));
  await call("edit", changes);
  return `${app.name} is changed. Start it anew to run it as it is now.`;
}

// Versions.

const sized = bytes => (bytes < 1000 ? `${bytes} bytes` : `${(bytes / 1000).toFixed(1)} kB`);

function shownVersion(version, isNewest, back) {
  const item = element("li", "", { className: "card" });
  const about = [new Date(version.made_at * 1000).toLocaleString(), sized(version.bytes), `by ${version.owner}`];
  item.append(
    element("h3", `Version ${version.version}`),
    element("p", [version.name, ...version.files].join(", ").slice(0, 300)),
    element("small", about.join(" · ")),
    document.createElement("br"),
  );
  if (isNewest) item.append(element("span", "newest", { className: "tag good" }));
  else item.append(button("Go back", `to version ${version.version}`, back));
  return item;
}

async function versions(app) {
  const dialog = at("versions"), list = at("versions-list");
  const found = await call("list_versions", { app_id: app.id });
  let said = "";
  const back = version => async made => {
    made.disabled = true;
    try {
      const now = await call("rollback", { app_id: app.id, version });
      said = `${now.name} is what it was in version ${version}. Start it anew to run that.`;
      dialog.close();
    } catch (error) {
      at("versions-state").textContent = error.message;
      made.disabled = false;
    }
  };
  at("versions-title").textContent = `Versions of ${app.name}`;
  list.replaceChildren(...found.map((version, n) => shownVersion(version, n === 0, back(version.version))));
  dialog.showModal();
  await new Promise(done => dialog.addEventListener("close", done, { once: true }));
  return said;
}

look();
setInterval(() => {
  if (!document.hidden) look();
}, EVERY);
