/** A name that a person recognises, read off a user agent; versions are left out. A claim, never proof. */

const BROWSERS = [
  [/Edg\w*\//, 'Edge'], [/OPR\//, 'Opera'], [/Firefox\/|FxiOS/, 'Firefox'], [/Chrome\/|CriOS/, 'Chrome'],
  [/Safari\//, 'Safari'],
];
const SYSTEMS = [
  [/iPhone|iPad/, 'iOS', 'phone'], [/Android/, 'Android', 'phone'], [/Windows/, 'Windows', 'desktop'],
  [/Mac OS X/, 'macOS', 'desktop'], [/CrOS/, 'ChromeOS', 'desktop'], [/Linux/, 'Linux', 'desktop'],
];
const MAX_CACHED = 2000;
const cache = new Map();

export function readDevice(userAgent, name) {
  let device = cache.get(userAgent);
  if (!device) {
    if (cache.size >= MAX_CACHED) cache.clear();
    cache.set(userAgent, (device = parse(userAgent)));
  }
  return name ? { ...device, name } : device;
}

function parse(userAgent) {
  const browser = BROWSERS.find(([pattern]) => pattern.test(userAgent))?.[1] ?? null;
  const [, os = null, kind = 'other'] = SYSTEMS.find(([pattern]) => pattern.test(userAgent)) ?? [];
  const label = browser && os ? `${browser} on ${os}` : (browser ?? os ?? 'Unknown device');
  return { name: label, browser, os, kind };
}
