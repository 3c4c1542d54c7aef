// Calls functions over HTTP, and shows what they answer.
"use strict";

const { token } = document.getElementById("functions").dataset;
const LONGEST = 100_000; // characters of an answer that are shown

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

async function call(form, status, result) {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = JSON.stringify(argumentsOf(form));
  const begun = performance.now();
  const answer = await fetch(form.action, { method: "POST", headers, body });
  const text = await answer.text();
  const detail = answer.ok ? text : valueOf(text)?.detail ?? text;
  status.textContent = answer.ok
    ? `Answered in ${Math.round(performance.now() - begun)} ms.`
    : `Status ${answer.status}.${answer.status === 401 ? " This page may be too old; load it again." : ""}`;
  result.textContent = pretty(String(detail)).slice(0, LONGEST);
  result.classList.toggle("failed", !answer.ok);
  result.hidden = false;
}

for (const form of document.querySelectorAll("form.call")) {
  form.addEventListener("submit", async event => {
    event.preventDefault();
    const status = form.querySelector("[role=status]"), result = form.querySelector(".result");
    const button = form.querySelector("button");
    button.disabled = true;
    status.textContent = "Calling …";
    result.hidden = true;
    try {
      await call(form, status, result);
    } catch (error) {
      status.textContent = error instanceof SyntaxError
        ? `The arguments are no JSON object: ${error.message}`
        : `The hub does not answer: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  });
}
