/** Banner while the connection is closed because the service wants so: why, and the button that connects again. */
import { isClosed } from "./connection-card.js";
import { html } from "./html.js";

export function ClosedBanner({ connection, text, onReconnect }) {
  if (!isClosed(connection)) return null;
  return html`
    <div class="banner is-warning" data-testid="closed-banner">
      <p>${text}</p>
      <button class="button small" type="button" data-testid="reconnect" onClick=${onReconnect}>Connect again</button>
    </div>`;
}
