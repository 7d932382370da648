// Reads the bodies of responses.

const MAX_TEXT = 256 * 1024;

/**
 * The chunks of a response's body, until `signal` aborts; then it throws the reason.
 *
 * The signal of `fetch` alone does not do: once the garbage collector has taken its Request, it ends no body any more.
 */
export async function* chunksOf(response, signal) {
  const reader = response.body.getReader();
  const stop = () => reader.cancel().catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      signal.throwIfAborted();
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}

/** The text of a response's body. Throws if it is too large. */
export async function textOf(response, signal) {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of chunksOf(response, signal)) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_TEXT) throw new Error("the response is too large");
  }
  return text;
}
