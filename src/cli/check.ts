import { configPath, readConfig } from "./config-file.ts";
import type { Command } from "./main.ts";

/** `ponte check [FILE]`: tells whether a configuration is right, and what it comes to. */
export const check: Command = async ([named]) => {
  const path = configPath(named);
  if (path === undefined) {
    console.error("There is no configuration: config/ponte.yaml does not exist and PONTE_CONFIG is not set.");
    return 1;
  }
  const { calling, channels, trunks, sip, database } = readConfig(path);
  console.log(`${path} is right.`);
  console.log(`calls     ${calling.enabled ? "are taken" : "are not taken: calling.enabled is false"}`);
  console.log(`channels  ${channels.length}`);
  console.log(`trunks    ${trunks.map((trunk) => `${trunk.name} (${trunk.host}:${trunk.port})`).join(", ") || "none"}`);
  console.log(`SIP       ${sip.engine}`);
  console.log(`database  ${database.url === undefined ? "embedded" : "by URL"}`);
  return 0;
};
