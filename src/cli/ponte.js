#!/usr/bin/env node
// The one file in plain JavaScript: an old Node cannot even read TypeScript, and must be told so in words.
const [major] = process.versions.node.split(".").map(Number);
if (major === undefined || major < 24) {
  process.stderr.write(
    `ponte needs Node 24 or later, and this is ${process.versions.node}. ` +
      "It is installed with ponte: use `npm start`, `npm run ponte -- <command>` or `npx ponte <command>` after `npm ci`.\n",
  );
  process.exit(1);
}
const { main } = await import("./main.ts");
process.exitCode = await main(process.argv.slice(2));
