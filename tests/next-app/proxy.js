import { NextResponse } from "next/server";
import { refusal } from "vigil-verify/next";

import { vigil } from "./vigil.js";

export const config = { matcher: "/api/:path*" };
export const proxy = async (request) => (await refusal(vigil, request)) ?? NextResponse.next();
