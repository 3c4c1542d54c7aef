// Serves a web page from your browser until you press Stop.
const server = await connectToServer();
await server.registerService({
  id: "page",
  name: "A page",
  type: "functions",
  config: { visibility: "public" },
  index: async event => ({
    status: 200,
    headers: { "Content-Type": "text/html; charset=utf-8" },
    body: `<h1>Hello World</h1><p>It is ${new Date().toLocaleTimeString()}.</p>`,
  }),
});
console.log("Open it:", `${HUB}/${server.config.workspace}/apps/page/`);
