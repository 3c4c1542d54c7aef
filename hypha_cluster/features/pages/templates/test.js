// Does what clients do, one after the other, and says what came of it.
"use strict";

const { hub } = document.currentScript.dataset;
const asked = new URLSearchParams(location.search);
const state = document.getElementById("state"), steps = document.getElementById("steps");
const service = `test-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
const config = { server_url: hub };
for (const name of ["workspace", "token", "client_id"]) {
  if (asked.get(name)) config[name] = asked.get(name);
}

async function step(words, what) {
  const item = document.createElement("li"), begun = performance.now();
  item.textContent = `${words} …`;
  steps.append(item);
  try {
    const done = await what();
    item.textContent = `${words}: OK, ${Math.round(performance.now() - begun)} ms`;
    return done;
  } catch (error) {
    item.textContent = `${words}: it did not work`;
    throw error;
  }
}

function same(found, wanted) {
  const [one, other] = [found, wanted].map(value => JSON.stringify(value));
  if (one !== other) throw new Error(`${one} came back, not ${other}`);
}

async function overHttp(workspace) {
  const url = `${hub}/${workspace}/services/${service}/echo`;
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ data: "by HTTP" }) });
  if (!answer.ok) throw new Error(`${url} answers with status ${answer.status}`);
  return answer.json();
}

async function test() {
  const connect = values => hyphaWebsocketClient.connectToServer({ server_url: hub, ...values });
  const server = await step("Connect", () => connect(config));
  await step("Register a public service", () => server.registerService({
    id: service,
    name: service,
    config: { visibility: "public" },
    echo: async data => data,
    apply: async (value, change) => change(value),
  }));
  const other = await step("Connect once more, as an anonymous user", () => connect({}));
  const found = await step("Find the service", () =>
    other.getService(`${server.config.workspace}/${server.config.client_id}:${service}`));
  await step("Call it", async () => same(await found.echo("text"), "text"));
  await step("Send it bytes", async () =>
    same([...new Uint8Array(await found.echo(new Uint8Array([0, 128, 255])))], [0, 128, 255]));
  await step("Be called back", async () => same(await found.apply(21, value => 2 * value), 42));
  await step("Call it over HTTP", async () => same(await overHttp(server.config.workspace), { data: "by HTTP" }));
  await step("Leave", () => Promise.all([other.disconnect(), server.disconnect()]));
}

test().then(
  () => { state.textContent = "OK: this hub works from here."; },
  error => { state.textContent = `It did not work: ${error?.message ?? error}`; },
);
