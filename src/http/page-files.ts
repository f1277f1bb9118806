import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";
import Type from "typebox";
import type { App } from "./app.ts";
import { ApiError, answerUnknown, refusals } from "./errors.ts";

export interface PageParts {
  /** Where the built pages are: `index.html`, and `assets/` whose names hold a hash of their content. */
  readonly folder: string;
  /** Seals the cookies of sessions; absent: sessions end with the process. */
  readonly sessionSecret?: string;
}

interface PageFile {
  readonly type: string;
  readonly body: Buffer;
  readonly zipped: Buffer;
  readonly tag: string;
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".woff2": "font/woff2",
};

/** Only our own scripts and styles, nothing inline, no frame around us; QR codes are data URLs. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

const headers = {
  "content-security-policy": POLICY,
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
};

const page = (summary: string, operationId: string) => ({
  summary,
  operationId,
  tags: ["pages"],
  security: [],
  response: {
    200: { description: "The file.", content: { "text/html": { schema: Type.String() } } },
    ...refusals(404, 500, 503),
  },
});

/** `GET /` and `GET /assets/:name`. The files are few and small: they are read once and kept. */
export function pageRoutes(app: App, { folder }: PageParts): void {
  let loading: Promise<ReadonlyMap<string, PageFile>> | undefined;
  const load = async (): Promise<ReadonlyMap<string, PageFile>> => {
    loading ??= readPages(folder);
    const files = await loading.catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
    // Somebody may build them meanwhile.
    if (files.size === 0) loading = undefined;
    return files;
  };

  app.get("/", { schema: page("The pages", "pages") }, async (request, reply) => {
    const file = (await load()).get("index.html");
    if (file === undefined)
      throw new ApiError(503, "pages_not_built", "The pages are not built.", { hint: "Run node src/pages/build.ts." });
    return answer(request, reply.header("cache-control", "no-cache"), file);
  });

  const params = Type.Object({ name: Type.String({ maxLength: 128 }) });
  app.get(
    "/assets/:name",
    { schema: { ...page("A file of the pages", "pageAsset"), params } },
    async (request, reply) => {
      const file = (await load()).get(`assets/${request.params.name}`);
      if (file === undefined) return answerUnknown(request, reply);
      return answer(request, reply.header("cache-control", "public, max-age=31536000, immutable"), file);
    },
  );
}

function answer(request: FastifyRequest, reply: FastifyReply, file: PageFile): FastifyReply {
  reply.headers({ ...headers, etag: file.tag, vary: "accept-encoding" });
  if (request.headers["if-none-match"] === file.tag) return reply.code(304).send();
  reply.type(file.type);
  if (!/\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""))) return reply.send(file.body);
  return reply.header("content-encoding", "gzip").send(file.zipped);
}

/** Empty when they are not built. */
async function readPages(folder: string): Promise<ReadonlyMap<string, PageFile>> {
  const files = new Map<string, PageFile>();
  for (const below of ["", "assets"]) {
    const names = await readdir(join(folder, below)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    for (const name of names) {
      const type = types[extname(name)];
      if (type !== undefined)
        files.set(below === "" ? name : `${below}/${name}`, await readPage(join(folder, below, name), type));
    }
  }
  return files.has("index.html") ? files : new Map();
}

async function readPage(path: string, type: string): Promise<PageFile> {
  const body = await readFile(path);
  const tag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
  return { type, body, zipped: await promisify(gzip)(body), tag };
}
