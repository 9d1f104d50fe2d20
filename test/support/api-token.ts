/** What tests change a mesh with, by the HTTP API of a control plane that they started with this token. */
const secret = "the-token-of-tests-which-is-no-secret";

/** For `startControl`. */
export const API_TOKEN = { secret, folder: undefined };

/** For `bin/heddle`. */
export const API_TOKEN_ENV = { HEDDLE_API_TOKEN: secret };

/** For requests. */
export const AUTHORIZED = { authorization: `Bearer ${secret}` };
