import { describe } from "vitest";
import { scenarios } from "./scenarios.ts";

describe("the demo PBX", () => scenarios(async () => undefined));
