/** Sockets close and children end within this time; a busy machine has it to itself by then. */
const SETTLE_MS = 8_000;
const EVERY_MS = 10;

/** Sockets, servers, children, threads and timers that keep this process alive, by kind. */
export function activeResources(): ReadonlyMap<string, number> {
  const counted = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) {
    if (/UDP|TCP|Pipe|Process|Timeout|Worker|MessagePort/.test(name)) counted.set(name, (counted.get(name) ?? 0) + 1);
  }
  return counted;
}

/** Waits until there is nothing more than there was before; throws what there is too much of. */
export async function nothingMoreThan(before: ReadonlyMap<string, number>): Promise<void> {
  const until = performance.now() + SETTLE_MS;
  for (;;) {
    const more = [...activeResources()].filter(([name, count]) => count > (before.get(name) ?? 0));
    if (more.length === 0) return;
    if (performance.now() > until) throw new Error(`left over: ${JSON.stringify(Object.fromEntries(more))}`);
    await new Promise((next) => setTimeout(next, EVERY_MS).unref());
  }
}
