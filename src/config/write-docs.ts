import { readFileSync, writeFileSync } from "node:fs";
import { configurationTable, exampleFile } from "./docs.ts";

/** `npm run docs`: writes what the schema says into the example file and into the README's table. */
const at = (path: string): URL => new URL(`../../${path}`, import.meta.url);

writeFileSync(at("config/ponte.example.yaml"), exampleFile());

const readme = readFileSync(at("README.md"), "utf8");
const [head, tail] = [readme.indexOf("| key | type |"), readme.indexOf("<!-- end of the table -->")];
writeFileSync(at("README.md"), `${readme.slice(0, head)}${configurationTable()}\n\n${readme.slice(tail)}`);
