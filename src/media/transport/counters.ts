import type { SessionCounters } from "./contract.ts";

export function newSessionCounters(): SessionCounters {
  return {
    rtpIn: 0,
    rtpOut: 0,
    rtcpIn: 0,
    rtcpOut: 0,
    bytesIn: 0,
    bytesOut: 0,
    stunIn: 0,
    stunOut: 0,
    stunMalformed: 0,
    stunUnsigned: 0,
    stunForged: 0,
    stunUnexpected: 0,
    roleConflicts: 0,
    strangerPackets: 0,
    earlyMedia: 0,
    srtpForged: 0,
    srtpReplayed: 0,
    srtpMalformed: 0,
    srtpTooManySources: 0,
    dtlsPlaintextAlerts: 0,
    dtlsForgedSignature: 0,
    dtlsForgedFinished: 0,
    dtlsWrongFingerprint: 0,
    dtlsMalformed: 0,
  };
}

/** Adds `more` to `sum`, field by field. */
export function addCounters(sum: SessionCounters, more: SessionCounters): void {
  for (const name of Object.keys(more) as (keyof SessionCounters)[]) sum[name] += more[name];
}
