// Calls a service that somebody else offers; offer one in another window first.
const server = await connectToServer();
const service = await server.getService("hello");
console.log(await service.hello({ name: "World" }));
