/** Logging in. An unknown address and a wrong password are told apart by nobody: same answer, same Argon2 work. */

import { emailNotVerified, invalidCredentials } from './errors.js';
import { verifyPassword } from './passwords.js';

export const emailKey = (email) => email.trim().toLowerCase();

export class Login {
  #stores;
  #sessions;

  constructor(stores, sessions) {
    this.#stores = stores;
    this.#sessions = sessions;
  }

  async login({ email, password, deviceName, client }) {
    const user = await this.#stores.users.byEmail(emailKey(email));
    const matches = await verifyPassword(user?.passwordHash, password);
    if (!matches) {
      await this.#stores.audit.record('login_failed', { userId: user?._id ?? null, client, now: new Date() });
      throw invalidCredentials();
    }
    if (user.emailVerifiedAt === null) throw emailNotVerified();
    return { user, ...(await this.#sessions.start(user, { deviceName, client })) };
  }
}
