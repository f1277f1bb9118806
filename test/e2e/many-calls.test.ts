import { manyCalls } from "./many-calls.ts";

manyCalls("20 calls at once are heard and leave nothing behind", { atOnce: 20, rounds: 1 }, 60_000);
