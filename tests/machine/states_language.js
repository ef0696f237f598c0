// Prints what AWS's own language service for Step Functions finds in machines: {file: [line and message]}.
const fs = require("fs");
const { getLanguageService, TextDocument } = require("amazon-states-language-service");

async function findings(file) {
  const document = TextDocument.create(`file://${file}`, "asl", 1, fs.readFileSync(file, "utf8"));
  const service = getLanguageService({});
  const found = await service.doValidation(document, service.parseJSONDocument(document));
  return found.map((each) => `line ${each.range.start.line + 1}: ${each.message}`);
}

(async () => {
  const told = {};
  for (const file of process.argv.slice(2)) told[file] = await findings(file);
  console.log(JSON.stringify(told));
})();
