/** Creates a key that may emit, and prints it. */

import { readConfig } from './config.js';
import { ServerKeys } from './server-keys.js';
import { connectStores } from './stores.js';

const stores = await connectStores(readConfig());
console.log(await new ServerKeys(stores.serverKeys).issue('bench', ['emit']));
await stores.close();
