/** Whose token it is. Times are in seconds since 1970. `roles` are those of when the token was issued. */
export interface Claims {
  readonly userId: string;
  readonly sessionId: string;
  readonly roles: readonly string[];
  readonly amr: readonly string[];
  readonly generation: number;
  readonly authTime: number;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly tokenId: string;
}

/** `isCurrent`: revoked sessions are refused within a second. For a health check of the service. */
export interface Health {
  readonly isCurrent: boolean;
  /** Since the stream last proved it; Infinity before the first time, null without a server key. */
  readonly silentSeconds: number | null;
  readonly revoked: number;
  readonly keys: number;
  readonly lastError: string | null;
}

export interface Logger {
  info?(text: string): void;
  warn(text: string): void;
  error(text: string): void;
}

export interface VerifierOptions {
  /** Vigil's public URL, as in the claim `iss`. */
  issuer: string;
  /** A key with the scope `revocations`. Without one, a token of an ended session is accepted until it expires. */
  serverKey?: string | undefined;
  /** Default `vigil`. */
  audience?: string | undefined;
  /** Where Vigil's nodes are reached, if not at `issuer`; the next one is used when one fails. */
  urls?: readonly string[] | undefined;
  /** Default 5. */
  leewaySeconds?: number | undefined;
  /** Seconds without a sign of life of the stream after which `whenStale` decides. Default 15. */
  staleAfterSeconds?: number | undefined;
  /** `refuse` (default): 503 `unavailable`. `accept`: goes on without later revocations. Both are logged. */
  whenStale?: "refuse" | "accept" | undefined;
  /** Called when the verifier becomes current, and when it ceases to be. */
  onHealth?: ((health: Health) => void) | undefined;
  /** Default `console`. */
  logger?: Logger | undefined;
}

export type RefusalCode = "missing_token" | "invalid_token" | "token_expired" | "session_revoked" | "unavailable";

/** A refusal. `code` and `status` are for the response; the message is for people. */
export class VerificationError extends Error {
  readonly code: RefusalCode;
  readonly status: 401 | 503;
  get headers(): Record<string, string>;
  get body(): { success: false; code: RefusalCode; message: string };
}

/** Verifies access tokens without a call for each. One for a process. */
export class Verifier {
  constructor(options: VerifierOptions);
  /** Begin to follow keys and revocations. Verifying does it, too. */
  start(): this;
  /** Stop following. */
  close(): void;
  /** Resolves to the claims, or rejects with a `VerificationError`. Waits only for first or new keys and revocations. */
  verify(token: string): Promise<Claims>;
  /** Like `verify`, for an `Authorization` header. */
  verifyHeader(authorization: string | null | undefined): Promise<Claims>;
  get health(): Health;
}
