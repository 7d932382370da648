import { protect } from "vigil-verify/next";

import { vigil } from "../../vigil.js";

export const GET = protect(vigil, (_, { claims }) => Response.json({ userId: claims.userId }));
