import { describe } from "vitest";
import { refusals } from "./refusals.ts";

describe("the demo PBX", () => refusals(async () => undefined));
