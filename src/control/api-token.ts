/** The API token: a secret that every change by the HTTP API demands, so that not every user of a machine may make any. */

/** Characters of a token. The fewest, drawn at random from 16 or more, are the 128 bits that nobody can guess. */
export const API_TOKEN_CHARACTERS_MIN = 32;
export const API_TOKEN_CHARACTERS_MAX = 1_024;

/** What is wrong with a token, in words that do not tell it; "" for a good one. */
export function apiTokenProblem(text: string): string {
  const range = `${API_TOKEN_CHARACTERS_MIN} to ${API_TOKEN_CHARACTERS_MAX}`;
  const expected = `expected ${range} characters of visible ASCII, without blanks`;
  if (text.length < API_TOKEN_CHARACTERS_MIN || text.length > API_TOKEN_CHARACTERS_MAX) {
    return `${expected}; found ${text.length}`;
  }
  return /^[\x21-\x7e]*$/.test(text) ? "" : `${expected}; found another`;
}
