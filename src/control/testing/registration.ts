/** For tests: a registration with one port. */
import { parseRegistration, type Registration } from "../sources/registration.ts";

/** What a client sends. */
export const registrationBody = {
  ports: [
    {
      service: "price",
      name: "http",
      port: 80,
      protocol: "http",
      address: "127.0.0.1",
      addressPort: 20_001,
      meshed: true,
    },
  ],
  ttlSeconds: 10,
};

export function registration(name: string, more: object = {}): Registration {
  const parsed = parseRegistration("default", name, { ...registrationBody, ...more });
  if ("errors" in parsed) throw new Error(JSON.stringify(parsed.errors));
  return parsed.registration;
}
