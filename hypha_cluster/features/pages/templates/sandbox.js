// Runs code in a worker, and tells the page that holds this frame what it says.
"use strict";

const { hub, client, pyodide, packages } = document.currentScript.dataset;

// What the worker begins with; it is written here as text, for a worker needs an address.
function begin({ hub, client, pyodide, packages, token, code, language }) {
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
  const inJavaScript = async () => {
    importScripts(client);
    const connectToServer = (config = {}) =>
      hyphaWebsocketClient.connectToServer({ server_url: hub, ...(token ? { token } : {}), ...config });
    const AsyncFunction = (async () => {}).constructor;
    await new AsyncFunction("connectToServer", "HUB", "TOKEN", code)(connectToServer, hub, token);
  };
  const inPython = async () => {
    importScripts(`${pyodide}pyodide.js`);
    const say = line => tell("log", [line]);
    const python = await loadPyodide({ indexURL: pyodide, stdout: say, stderr: say });
    for (const url of packages.split(" ")) {
      python.unpackArchive(await (await fetch(url)).arrayBuffer(), "zip");
    }
    // It says of each package that it could use, and of its connection, more than one wants to read.
    python.runPython("import logging; logging.getLogger('RPC').setLevel(logging.ERROR)");
    python.globals.set("HUB", hub);
    python.globals.set("TOKEN", token);
    await python.runPythonAsync(code);
  };
  (async () => {
    try {
      await (language === "Python" ? inPython() : inJavaScript());
      tell("done", []);
    } catch (error) {
      tell("error", [language === "Python" ? error.message.trim() : error]);
      tell("failed", []);
    }
  })();
}

addEventListener("message", event => {
  if (event.source !== parent) return;
  const { code, language, token } = event.data;
  const given = JSON.stringify({ hub, client, pyodide, packages, code, language, token });
  const script = new Blob([`(${begin})(${given});`], { type: "text/javascript" });
  const worker = new Worker(URL.createObjectURL(script));
  worker.onmessage = ({ data }) => parent.postMessage(data, "*");
  worker.onerror = error => parent.postMessage({ kind: "failed", text: error.message }, "*");
});

parent.postMessage({ kind: "ready", text: "" }, "*");
