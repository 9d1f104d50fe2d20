/** A document with mistakes: what it is, its text (the first line is empty, for looks), and all that is told of it. */
export type BadDocument = readonly [name: string, text: string, ...told: string[]];
