import type { Command } from "./main.ts";
export const run: Command = async () => 1;
