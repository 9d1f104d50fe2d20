/** The subjects as the report names them. */
export const DIRECT = "direct";
export const HAPROXY = "HAProxy";
export const NGINX = "nginx";
export const NGHTTPX = "nghttpx";
export const ENVOY = "Envoy";
export const ONE_SIDECAR = "one sidecar";
export const TWO_SIDECARS = "two sidecars";
