/** Settings from the environment; a wrong one ends the start with one line. */

const SECRET = /^[0-9a-f]{64}$/i;

export function readConfig(env = process.env) {
  const required = (name) => env[name] || fail(`${name} is required`);
  const seconds = (name, fallback) => {
    const value = Number(env[name] ?? fallback);
    return Number.isFinite(value) && value >= 0 ? value : fail(`${name} must be a number of seconds`);
  };
  const secret = required('BENCH_SECRET');
  if (!SECRET.test(secret)) fail('BENCH_SECRET must be 32 bytes in hexadecimal');
  return Object.freeze({
    host: '127.0.0.1',
    port: Number(env.BENCH_PORT ?? 3000),
    mongoUrl: required('BENCH_MONGO_URL'),
    database: env.BENCH_DATABASE ?? 'bench',
    redisUrl: required('BENCH_REDIS_URL'),
    prefix: env.BENCH_PREFIX ?? 'bench',
    secret: Buffer.from(secret, 'hex'),
    tokenSeconds: seconds('BENCH_TOKEN_SECONDS', 900),
    leadMs: seconds('BENCH_LEAD_SECONDS', 60) * 1000,
    graceMs: seconds('BENCH_GRACE_SECONDS', 30) * 1000,
    issuer: 'bench',
    audience: 'bench',
  });
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
