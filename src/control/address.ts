/** Where something listens. */
export interface Address {
  /** An IP address literal. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

/** "127.0.0.1:4180", "[::1]:4180" */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
