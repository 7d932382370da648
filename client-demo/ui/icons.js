/** Line icons, drawn in the colour of the text around them. Decorative: hidden from screen readers. */
import { html } from "./html.js";

/** @param {...string} paths */
const icon = (...paths) => () => html`
  <svg class="icon" viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor"
       stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">
    ${paths.map((path) => html`<path d=${path} />`)}
  </svg>`;

export const DesktopIcon = icon("M4 5h16v11H4z", "M9 20h6M12 16v4");
export const PhoneIcon = icon("M8 3h8a1 1 0 0 1 1 1v16a1 1 0 0 1-1 1H8a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1z", "M11 18h2");
export const TabletIcon = icon("M6 3h12a1 1 0 0 1 1 1v16a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1z", "M11 18h2");
export const UnknownDeviceIcon = icon("M4 6h16v12H4z", "M8 10l2.5 2L8 14M13 14h3");
export const ChatIcon = icon("M5 5h14a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-7l-4 4v-4H5a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1z");
export const ShieldIcon = icon("M12 3l7 3v5c0 4.5-3 8-7 10-4-2-7-5.5-7-10V6z");
export const MailIcon = icon("M4 6h16v12H4z", "M4 7l8 6 8-6");
export const LogOutIcon = icon("M13 4H6v16h7", "M10 12h10M17 9l3 3-3 3");
export const SendIcon = icon("M5 12h14M13 6l6 6-6 6");
export const KeyIcon = icon("M9 15a4 4 0 1 1 2.8-1.2L20 22M16 18l2-2", "M7.5 11h.01");
export const PersonIcon = icon("M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M4.5 20c1-3.5 4-5 7.5-5s6.500 1.500 7.500 5");
export const Logo = () => html`<img class="mark" src="/demo/icon.svg" alt="" width="28" height="28" />`;
