/** What each product costs, in euros, by product id. */
export const PRICES: ReadonlyMap<number, number> = new Map([
  [1, 1890],
  [2, 38.5],
  [3, 24],
  [4, 86],
  [5, 19.9],
]);
