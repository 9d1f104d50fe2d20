/** How the end of a message body is told (RFC 9112 §6.3). */

/** No body at all. */
export const FRAMING_NONE = 0;
/** As many bytes as Content-Length says. */
export const FRAMING_LENGTH = 1;
/** Transfer-Encoding: chunked. */
export const FRAMING_CHUNKED = 2;
/** All bytes until the connection ends. */
export const FRAMING_CLOSE = 3;

export type Framing = typeof FRAMING_NONE | typeof FRAMING_LENGTH | typeof FRAMING_CHUNKED | typeof FRAMING_CLOSE;

/** For a direction that ends without bytes. */
export const EMPTY: Buffer = Buffer.alloc(0);
