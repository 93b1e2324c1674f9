// Twilio's own Node library signs webhooks: a signer that is not ours and not Python. A folder has it:
// `npm install twilio@6`, then DULY_TWILIO_NODE=that folder. JSON lines in, JSON lines out.
const path = require("node:path");
const readline = require("node:readline");

const library = path.join(process.cwd(), "node_modules", "twilio", "lib", "webhooks", "webhooks");
const { getExpectedTwilioSignature } = require(library);

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { token, url, params } = JSON.parse(line);
  console.log(JSON.stringify(getExpectedTwilioSignature(token, url, params)));
});
