// Offers `echo-service` in the workspace that the address names.
"use strict";

const { hub } = document.currentScript.dataset;
const asked = new URLSearchParams(location.search);
const config = { server_url: hub };
for (const name of ["workspace", "token", "client_id"]) {
  if (asked.get(name)) config[name] = asked.get(name);
}
const state = document.getElementById("state");

async function setup() {
  const server = await hyphaWebsocketClient.connectToServer(config);
  await server.registerService({
    id: "echo-service",
    name: "Echo service",
    type: "echo",
    config: { visibility: "public" },
    echo: async data => data,
  });
  state.textContent = `Offered in workspace ${server.config.workspace}.`;
}

setup().catch(error => { state.textContent = `It did not work: ${error.message}`; });
