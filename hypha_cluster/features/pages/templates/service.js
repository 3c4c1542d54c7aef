// Calls functions over HTTP, and shows what they answer, as it comes.
"use strict";

const { token } = document.getElementById("functions").dataset;
const LONGEST = 100_000; // characters of an answer that are shown
const TELL = 5000; // ms after which one is told again how long it has taken so far
const number = new Intl.NumberFormat("en");

function valueOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function argumentsOf(form) {
  const all = form.querySelector("[data-all]");
  if (all) return JSON.parse(all.value || "{}");
  const filled = [...form.querySelectorAll("input[name]")].filter(input => input.value !== "");
  return Object.fromEntries(filled.map(input => [input.name, valueOf(input.value)]));
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// The beginning of an answer, and how long it is; `tell` gets both whenever there is more.
async function read(body, tell) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "", length = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return { text, length };
    length += value.length;
    text += value.slice(0, LONGEST - text.length);
    tell(text, length);
  }
}

const seconds = begun => `${number.format(Math.round((performance.now() - begun) / 1000))} s`;
const cut = length => (length > LONGEST
  ? ` Only the first ${number.format(LONGEST)} of ${number.format(length)} characters are shown.` : "");

async function call(form, status, result, signal) {
  const headers = { "Content-Type": "application/json", Accept: "application/json; profile=described" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = JSON.stringify(argumentsOf(form));
  const begun = performance.now();
  const waiting = setInterval(() => { status.textContent = `Calling … ${seconds(begun)} so far`; }, TELL);
  signal.addEventListener("abort", () => clearInterval(waiting));
  try {
    const answer = await fetch(form.action, { method: "POST", headers, body, signal });
    result.classList.toggle("failed", !answer.ok);
    const { text, length } = await read(answer.body, (text, length) => {
      result.textContent = text;
      result.hidden = false;
      if (length > LONGEST) status.textContent = `Receiving … ${number.format(length)} characters so far`;
    });
    const detail = answer.ok ? text : valueOf(text)?.detail ?? text;
    status.textContent = (answer.ok
      ? `Answered in ${number.format(Math.round(performance.now() - begun))} ms.`
      : `Status ${answer.status}.${answer.status === 401 ? " This page may be too old; load it again." : ""}`) + cut(length);
    result.textContent = length > LONGEST ? text : pretty(String(detail));
    if (!length) result.textContent = "(an empty answer)";
    result.hidden = false;
  } finally {
    clearInterval(waiting);
  }
}

function wrong(error) {
  if (error instanceof SyntaxError) return `The arguments are no JSON object: ${error.message}`;
  if (error.name === "AbortError") return "You have stopped waiting. The function may still be at it.";
  return `The hub does not answer: ${error.message}`;
}

for (const form of document.querySelectorAll("form.call")) {
  const status = form.querySelector("[role=status]"), result = form.querySelector(".result");
  const [button, cancel] = form.querySelectorAll("button");
  let calling = null;
  cancel.addEventListener("click", () => calling?.abort());
  form.addEventListener("submit", async event => {
    event.preventDefault();
    calling = new AbortController();
    button.disabled = true;
    cancel.hidden = false;
    status.textContent = "Calling …";
    result.hidden = true;
    try {
      await call(form, status, result, calling.signal);
    } catch (error) {
      status.textContent = wrong(error);
    } finally {
      const hadFocus = document.activeElement === cancel || document.activeElement === document.body;
      button.disabled = false;
      cancel.hidden = true;
      if (hadFocus) button.focus();
    }
  });
}
