/** Renames a device in its row of the list. */
import { Form } from "./forms.js";
import { Component, createRef, html } from "./html.js";

/** Properties: `client`, `session`, `name` (shown now), `maxLength`. The list changes by the event of the server. */
export class DeviceRename extends Component {
  state = { isOpen: false };
  #button = createRef();

  close = () => this.setState({ isOpen: false }, () => this.#button.current?.focus());

  rename = async ({ deviceName }) => {
    await this.props.client.renameDevice(this.props.session.sessionId, deviceName);
    this.close();
  };

  closeByKey = (event) => {
    if (event.key === "Escape") this.close();
  };

  render({ name, maxLength }, { isOpen }) {
    if (!isOpen) {
      return html`
        <button class="link device-line" type="button" data-testid="device-rename" ref=${this.#button}
                aria-label=${`Rename ${name}`} onClick=${() => this.setState({ isOpen: true })}>Rename</button>`;
    }
    const field = { name: "deviceName", label: "Device name", type: "text", autocomplete: "off", maxLength };
    return html`
      <div class="device-rename" onKeyDown=${this.closeByKey}>
        <${Form} testid="device-rename-form" fields=${[field]} values=${{ deviceName: name }} submitLabel="Rename"
                 busyLabel="Renaming…" focusFirst onSubmit=${this.rename} onCancel=${this.close} />
      </div>`;
  }
}
