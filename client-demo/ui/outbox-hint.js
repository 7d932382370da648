/** Link to the outbox of a development server, which keeps mails and SMS instead of sending them. */
import { Component, html } from "./html.js";

export class OutboxHint extends Component {
  state = { outbox: false };

  componentDidMount() {
    hasOutbox().then((outbox) => this.setState({ outbox }));
  }

  render(_, { outbox }) {
    return outbox && html`
      <p class="notice is-info">This is a development server. Its mails and SMS are kept in the${" "}
        <a href="/dev/outbox" target="_blank" rel="noopener" data-testid="outbox-link">outbox</a>.</p>`;
  }
}

/** Asks only on loopback: the outbox is served nowhere else. */
async function hasOutbox() {
  if (!["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) return false;
  return fetch("/dev/outbox.json", { cache: "no-store" }).then(({ ok }) => ok, () => false);
}
