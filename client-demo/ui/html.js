/** Preact with htm's tagged templates, which need no build step. */
import htm from "../vendor/htm.module.js";
import { h } from "../vendor/preact.module.js";

export { Component, createRef, render } from "../vendor/preact.module.js";
export const html = htm.bind(h);
