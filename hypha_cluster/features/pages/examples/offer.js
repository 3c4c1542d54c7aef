// Runs in your browser, and offers a service to everybody until you press Stop.
const server = await connectToServer();
await server.registerService({
  id: "hello",
  name: "Hello",
  description: "Greets whoever asks.",
  config: { visibility: "public" },
  hello: async ({ name }) => `Hello ${name}!`,
});
const { workspace } = server.config;
console.log("Call it on its page:", `${HUB}/${workspace}/`);
console.log("or over HTTP:", `${HUB}/${workspace}/services/hello/hello?name=World`);
