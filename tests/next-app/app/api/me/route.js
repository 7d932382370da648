// The proxy answers requests without a valid token: this handler is called for others only.
export { GET } from "../../me/route.js";
