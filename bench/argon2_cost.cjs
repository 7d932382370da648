// Prints the CPU cost of one password verification with the Node peer's library: {"cpuSeconds": …}.
// Runs two at a time, like bench/argon2_cost.py.
const { createRequire } = require("node:module");
const { verify, hash } = createRequire(process.argv[2] + "/")("@node-rs/argon2");

const TIMES = 16;
const AT_ONCE = 2;
const PASSWORD = "bench-password-8341";
const ARGON2ID = 2;
const RFC_9106_LOW_MEMORY = { algorithm: ARGON2ID, timeCost: 3, memoryCost: 65536, parallelism: 4, outputLen: 32 };

async function verifyTimes(hashed, times) {
  for (let done = 0; done < times; done += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, () => verify(hashed, PASSWORD)));
  }
}

async function main() {
  const hashed = await hash(PASSWORD, RFC_9106_LOW_MEMORY);
  await verifyTimes(hashed, AT_ONCE);
  const begun = process.cpuUsage();
  await verifyTimes(hashed, TIMES);
  const used = process.cpuUsage(begun);
  console.log(JSON.stringify({ cpuSeconds: (used.user + used.system) / 1e6 / TIMES }));
}

main();
