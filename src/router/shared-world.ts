import type { Provider } from "#core/channel/channel.ts";
import type { ChannelDirectoryPort, EndpointStorePort } from "./ports.ts";
import { SharedReads } from "./shared-reads.ts";

/** Few channels and endpoints are asked for by every event: who asks at once shares an answer, and never an old one. */

export function sharedChannels(store: ChannelDirectoryPort): ChannelDirectoryPort {
  const found = new SharedReads((key) => {
    const [provider, channelId] = twoOf(key);
    return store.find(provider as Provider, channelId);
  });
  const got = new SharedReads((key) => store.get(...twoOf(key)));
  const lists = new SharedReads((tenantId) => store.list(tenantId));
  return {
    find: (provider, channelId) => found.get(`${provider} ${channelId}`),
    get: (tenantId, id) => got.get(`${tenantId} ${id}`),
    list: (tenantId) => lists.get(tenantId),
    put: (channel) => store.put(channel),
    change: (id, change, was) => store.change(id, change, was),
    secret: (id) => store.secret(id),
    keepSecret: (id, secret) => store.keepSecret(id, secret),
    remove: (tenantId, id) => store.remove(tenantId, id),
  };
}

export function sharedEndpoints(store: EndpointStorePort): EndpointStorePort {
  const got = new SharedReads((key) => store.get(...twoOf(key)));
  const lists = new SharedReads((tenantId) => store.list(tenantId));
  return {
    list: (tenantId) => lists.get(tenantId),
    get: (tenantId, id) => got.get(`${tenantId} ${id}`),
    create: (tenantId, draft, secret) => store.create(tenantId, draft, secret),
    change: (tenantId, id, draft) => store.change(tenantId, id, draft),
    remove: (tenantId, id) => store.remove(tenantId, id),
    rotate: (tenantId, id, secret, oldUntil) => store.rotate(tenantId, id, secret, oldUntil),
    secrets: (id, now) => store.secrets(id, now),
    noted: (id, outcome) => store.noted(id, outcome),
  };
}

/** The first word holds no space: a tenant's id, or a provider. */
function twoOf(key: string): [string, string] {
  const space = key.indexOf(" ");
  return [key.slice(0, space), key.slice(space + 1)];
}
