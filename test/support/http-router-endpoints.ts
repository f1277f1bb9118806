import type { RouterParts } from "#http/router-parts.ts";
import type { EndpointDraft } from "#router/ports.ts";
import type { FakeRouter } from "./http-router.ts";

/** Endpoints in memory. */
export function fakeEndpoints(router: FakeRouter): RouterParts["endpoints"] {
  const at = (tenantId: string, wanted: string) =>
    router.endpoints.findIndex((one) => one.id === wanted && one.tenantId === tenantId);
  return {
    list: async (tenantId) => router.endpoints.filter((one) => one.tenantId === tenantId),
    get: async (tenantId, wanted) => router.endpoints[at(tenantId, wanted)],
    create: async (tenantId, draft, secret) => {
      const endpoint = { ...draft, id: router.newId(), tenantId, createdAt: router.clock.now() };
      router.endpoints.push(endpoint);
      router.rotations.push({ id: endpoint.id, secret, oldUntil: 0 });
      return endpoint;
    },
    change: async (tenantId, wanted, draft: Partial<EndpointDraft>) => {
      const i = at(tenantId, wanted);
      const before = router.endpoints[i];
      if (before === undefined) return undefined;
      const changed = { ...before, ...draft };
      router.endpoints[i] = changed;
      return changed;
    },
    remove: async (tenantId, wanted) =>
      at(tenantId, wanted) >= 0 && router.endpoints.splice(at(tenantId, wanted), 1).length === 1,
    rotate: async (tenantId, wanted, secret, oldUntil) => {
      if (at(tenantId, wanted) < 0) return false;
      router.rotations.push({ id: wanted, secret, oldUntil });
      return true;
    },
    secrets: async () => [],
    noted: async () => false,
  };
}
