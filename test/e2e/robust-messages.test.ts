import { killedUnderLoad } from "./robust-messages.ts";

killedUnderLoad(3, 60_000);
