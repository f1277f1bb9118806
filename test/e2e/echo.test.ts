import { describe } from "vitest";
import { echoes } from "./echo.ts";

describe("libwebrtc against the demo PBX", () => echoes(async () => undefined, 3_000));
