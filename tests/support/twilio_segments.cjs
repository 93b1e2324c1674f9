// Twilio's own calculator, one JSON text a line in, one JSON answer a line out. Run in a folder that
// has it: `npm install sms-segments-calculator@1.3.0`, then DULY_SEGMENTS_CALCULATOR=that folder.
const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");
const { SegmentedMessage } = createRequire(process.cwd() + "/")("sms-segments-calculator");

createInterface({ input: process.stdin }).on("line", (line) => {
  const text = JSON.parse(line);
  const message = new SegmentedMessage(text);
  const gsm = message.encodingName === "GSM-7";
  const parts = message.segments.map((segment) =>
    [...segment].filter((item) => !item.isUserDataHeader).map((item) => item.raw).join(""));
  console.log(JSON.stringify([gsm ? "gsm7" : "ucs2", gsm ? message.numberOfCharacters : text.length, parts]));
});
