/** Base class of the account page's cards: loads what it shows, runs one action at a time, shows its result, opens forms in place. */
import { asVigilError } from "../vigil-errors.js";
import { errorSentence } from "./error-messages.js";
import { Component, html } from "./html.js";
import { LoadProblem } from "./load-problem.js";

const NO_OPENER = { testid: "", place: 0 };

export class SettingCard extends Component {
  /** What `load` reads, to begin a sentence with: "Your passkeys". */
  what = "";
  /** @type {Record<string, any>} */
  state = { isMissing: false, open: null, busy: false, result: { text: "", failed: false }, ...this.firstState() };

  /** Initial state of the subclass. @returns {Record<string, any>} */
  firstState() {
    return {};
  }

  /** Reads what the card shows. Cards that show only their properties have nothing to load. */
  async load() {}

  reload = () => this.load().then(
    () => this.setState({ isMissing: false }), () => this.setState({ isMissing: true }));

  componentDidMount() {
    // An error of the lost connection is no longer true.
    this.stop = this.props.client.on("ready", () => this.state.result.failed && this.say(""));
    this.reload();
  }

  componentWillUnmount() {
    this.stop();
  }

  getSnapshotBeforeUpdate() {
    return this.base?.contains(document.activeElement) ?? false;
  }

  /** When the focused element was removed, focuses the question that replaced it, what had opened it, or the heading. */
  componentDidUpdate(_props, _state, hadFocus) {
    if (!hadFocus || document.activeElement !== document.body) return;
    const { testid, place } = this.#opener;
    const opener = this.base.querySelectorAll(`[data-testid="${testid}"]`)[place];
    (this.base.querySelector("[role=group][tabindex]") ?? opener ?? this.base.querySelector("h2")).focus();
  }

  /** The button that opened a form: rows have the same buttons, so also its place among them. */
  #opener = NO_OPENER;

  /** Opens a form of this card; null closes it. */
  show = (open) => {
    const { testid } = document.activeElement.dataset;
    if (open && testid && this.base.contains(document.activeElement)) {
      const alike = [...this.base.querySelectorAll(`[data-testid="${testid}"]`)];
      this.#opener = { testid, place: alike.indexOf(document.activeElement) };
    }
    this.setState({ open, result: { text: "", failed: false } });
  };

  /** @type {(text: string, options?: {failed?: boolean, [state: string]: any}) => void} */
  say = (text, { failed = false, ...more } = {}) => this.setState({ result: { text, failed }, ...more });

  /** @param {() => Promise<string>} act resolves with the result to show */
  async run(act) {
    if (this.state.busy) return;
    this.setState({ busy: true, result: { text: "", failed: false } });
    try {
      const done = await act();
      // What had opened the form may now be about another row.
      this.#opener = NO_OPENER;
      this.say(done, { open: null });
    } catch (error) {
      this.say(errorSentence(asVigilError(error)), { failed: true });
    } finally {
      this.setState({ busy: false });
    }
  }

  /** @param {{id: string, title: string, summary: unknown}} card @param {unknown} content */
  card({ id, title, summary }, content) {
    const { result: { text, failed }, isMissing } = this.state;
    const problem = isMissing && html`
      <${LoadProblem} client=${this.props.client} text=${`${this.what} could not be loaded.`} onRetry=${this.reload} />`;
    return html`
      <section class="card setting" aria-labelledby=${`${id}-title`} data-testid=${`setting-${id}`}>
        <h2 id=${`${id}-title`} tabindex="-1">${title}</h2>
        <div class="setting-summary muted" data-testid=${`${id}-summary`}>${problem || summary}</div>
        ${content}
        <p class=${`result ${failed ? "is-error" : ""}`} role="status" data-testid=${`${id}-result`}>${text}</p>
      </section>`;
  }

  /** Asks for confirmation; Escape means no. @param {() => unknown} act */
  question(testid, text, yes, act) {
    return html`
      <div class="card-actions question" key="question" role="group" tabindex="-1" aria-label=${text}
           onKeyDown=${({ key }) => key === "Escape" && this.show(null)}>
        <p>${text}</p>
        ${this.button(`${testid}-confirm`, yes, act, { danger: true })}
        ${this.button(`${testid}-cancel`, "No", () => this.show(null))}
      </div>`;
  }

  button(testid, label, onClick, { danger = false, small = false } = {}) {
    return html`
      <button class=${`button ${danger ? "danger" : ""} ${small ? "small" : ""}`} type="button" data-testid=${testid}
              aria-disabled=${this.state.busy} onClick=${onClick}>${label}</button>`;
  }
}
