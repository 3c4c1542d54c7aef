// Runs code in a worker, and tells the page that holds this frame what it says.
"use strict";

const { hub, client } = document.currentScript.dataset;

// What the worker begins with; it is written here as text, for a worker needs an address.
function begin({ hub, client, token, code }) {
  const shown = value => {
    if (typeof value === "string") return value;
    if (value instanceof Error) return `${value.name}: ${value.message}`;
    try {
      return JSON.stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const tell = (kind, values) => postMessage({ kind, text: values.map(shown).join(" ") });
  console.log = (...values) => tell("log", values);
  console.warn = (...values) => tell("log", values);
  console.error = (...values) => tell("error", values);
  console.info = () => {}; // the client says there when it connects
  addEventListener("unhandledrejection", event => {
    event.preventDefault();
    tell("error", [event.reason]);
  });
  importScripts(client);
  const connectToServer = (config = {}) =>
    hyphaWebsocketClient.connectToServer({ server_url: hub, ...(token ? { token } : {}), ...config });
  const AsyncFunction = (async () => {}).constructor;
  (async () => {
    try {
      await new AsyncFunction("connectToServer", "HUB", "TOKEN", code)(connectToServer, hub, token);
      tell("done", []);
    } catch (error) {
      tell("error", [error]);
      tell("failed", []);
    }
  })();
}

addEventListener("message", event => {
  if (event.source !== parent) return;
  const given = JSON.stringify({ hub, client, token: event.data.token, code: event.data.code });
  const script = new Blob([`(${begin})(${given});`], { type: "text/javascript" });
  const worker = new Worker(URL.createObjectURL(script));
  worker.onmessage = ({ data }) => parent.postMessage(data, "*");
  worker.onerror = error => parent.postMessage({ kind: "failed", text: error.message }, "*");
});

parent.postMessage({ kind: "ready", text: "" }, "*");
