import type { Command } from "./main.ts";
export const selftest: Command = async () => 1;
