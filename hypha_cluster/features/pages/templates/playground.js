// Hands code to a sandboxed frame, and shows what it says.
"use strict";

const KEPT = 500; // lines of the log
const form = document.getElementById("playground"), log = document.getElementById("log");
const code = document.getElementById("code"), state = document.getElementById("state");
const example = document.getElementById("example"), asMe = document.getElementById("as-me");
const language = document.getElementById("language"), stops = document.getElementById("stop");
const { sandbox, hub, token } = form.dataset;
let frame = null;

// Text with links to this hub, and to nowhere else.
function linked(text) {
  return text.split(/(\s+)/).map(word => {
    if (!word.startsWith(`${hub}/`)) return word;
    const link = document.createElement("a");
    link.href = link.textContent = word;
    link.target = "_blank";
    link.rel = "noopener";
    return link;
  });
}

function say(kind, text) {
  const line = document.createElement("div");
  line.className = kind === "error" ? "result failed" : "";
  line.append(...linked(text));
  log.append(line);
  while (log.children.length > KEPT) log.firstChild.remove();
  log.scrollTop = log.scrollHeight;
}

function stop(words) {
  frame?.remove();
  frame = null;
  stops.disabled = true;
  state.textContent = words;
}

function run() {
  stop("");
  log.replaceChildren();
  frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts");
  frame.title = "Where the code runs";
  frame.hidden = true;
  frame.src = sandbox;
  document.body.append(frame);
  stops.disabled = false;
  state.textContent = "Starting …";
}

const STATES = {
  ready: () => {
    state.textContent = "Running";
    // The frame's origin is nobody's, so it cannot be named.
    frame.contentWindow.postMessage({ code: code.value, language: language.textContent, token: asMe?.checked ? token : "" }, "*");
  },
  done: () => { state.textContent = "At its end; it serves until you press Stop."; },
  failed: text => {
    if (text) say("error", text);
    stop("Failed");
  },
};

addEventListener("message", ({ source, data }) => {
  if (!frame || source !== frame.contentWindow) return;
  if (Object.hasOwn(STATES, data.kind)) STATES[data.kind](String(data.text));
  else say(data.kind, String(data.text));
});
form.addEventListener("submit", event => {
  event.preventDefault();
  run();
});
stops.addEventListener("click", () => stop("Stopped"));
example.addEventListener("change", () => {
  code.value = example.value;
  language.textContent = example.selectedOptions[0].dataset.language;
});
