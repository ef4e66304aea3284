// Stores files on one association by dcmjs-dimse: node store.js PORT CALLED FILE...
// Prints the status of every response, in order; ends with 1 when the network fails.
const { Client, constants, requests } = require("dcmjs-dimse");

const [port, called, ...files] = process.argv.slice(2);
const client = new Client();
for (const file of files) {
  const request = new requests.CStoreRequest(file);
  request.on("response", (response) => console.log(response.getStatus()));
  client.addRequest(request);
}
const failed = (error) => {
  console.error(String(error));
  process.exitCode = 1;
};
client.on("networkError", failed);
client.on("associationRejected", (result) => failed(`rejected: ${JSON.stringify(result)}`));
client.send("127.0.0.1", Number(port), "DCMJS", called, {
  asyncOps: { maxAsyncOpsInvoked: 5, maxAsyncOpsPerformed: 1 },
  userIdentity: {
    type: constants.UserIdentityType.UsernameAndPasscode,
    positiveResponseRequested: true,
    primaryField: "somebody",
    secondaryField: "secret",
  },
});
