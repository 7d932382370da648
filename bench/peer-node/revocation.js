/** A forced logout at a session's sockets: told, acknowledged or given one second, disconnected, counted. */

const ACK_MS = 1000;
// A node reports a little before the asking one stops counting.
const REPORT_MS = 900;

/** End `sockets` of this node; resolves with its report once all are gone, or with what is known by then. */
export function endHere(node, sockets, message) {
  const report = { node, sockets: sockets.length, notified: 0, acknowledged: 0, closed: 0 };
  if (sockets.length === 0) return Promise.resolve(report);
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve({ ...report }), REPORT_MS);
    for (const socket of sockets) {
      report.notified += 1;
      socket.timeout(ACK_MS).emit('session-revoked', message, (late) => {
        if (!late) report.acknowledged += 1;
        socket.disconnect(true);
        report.closed += 1;
        if (report.closed === sockets.length) {
          clearTimeout(timer);
          resolve(report);
        }
      });
    }
  });
}

/**
 * End a session's sockets on every node that `counts` (node to number of sockets) says has some. Nodes that do not
 * answer within a second count as pending.
 */
export async function endEverywhere(io, order, counts, nodeId, here) {
  const elsewhere = [...counts.keys()].some((node) => node !== nodeId);
  const [own, others] = await Promise.all([here(), elsewhere ? reportsOfOthers(io, order) : []]);
  const reports = new Map([own, ...others].map((report) => [report.node, report]));
  const delivery = { sockets: 0, notified: 0, acknowledged: 0, closed: 0, pending: 0 };
  for (const [node, { sockets, notified, acknowledged, closed }] of reports) {
    counts.delete(node);
    delivery.sockets += sockets;
    delivery.notified += notified;
    delivery.acknowledged += acknowledged;
    delivery.closed += closed;
    delivery.pending += sockets - closed;
  }
  for (const sockets of counts.values()) {
    delivery.sockets += sockets;
    delivery.pending += sockets;
  }
  return delivery;
}

function reportsOfOthers(io, order) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ACK_MS, []);
    io.serverSideEmit('end-session', order, (error, reports) => {
      clearTimeout(timer);
      resolve(reports ?? []);
    });
  });
}
