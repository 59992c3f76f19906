/* What the emulator's frames share: a line to the host page and one to the API. */

const parentOrigin = decodeURIComponent(location.hash.slice(1));

/** Where the page is that embeds this frame; its parts are empty when nobody does. */
export const page = URL.canParse(parentOrigin) ? new URL(parentOrigin) : { hostname: "" };

/** Post to the page that embeds this frame, and to no other origin. */
export function post(message) {
  if (/^https?:\/\//.test(parentOrigin) && window.parent !== window) window.parent.postMessage(message, parentOrigin);
}

/** Hear the embedding page. `handlers[type]` may return a result, or a promise of it, for calls that want one. */
export function listen(handlers) {
  window.addEventListener("message", async (event) => {
    if (event.origin !== parentOrigin || event.source !== window.parent) return;
    const { type, call } = event.data ?? {};
    if (!Object.hasOwn(handlers, type)) return;
    const result = await handlers[type](event.data);
    if (call !== undefined) post({ type: "reply", call, result });
  });
  post({ type: "hello" });
}

/** Tell the host how tall this frame would like to be, now and whenever that changes. */
export function reportHeight(node) {
  new ResizeObserver(() => post({ type: "height", height: node.getBoundingClientRect().height })).observe(node);
}

function encodeForm(params, prefix = "", pairs = new URLSearchParams()) {
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined || value === null) continue;
    const key = prefix ? `${prefix}[${name}]` : name;
    if (typeof value === "object") encodeForm(value, key, pairs);
    else pairs.append(key, String(value));
  }
  return pairs;
}

/** POST to the API; resolves with {value} or {error}. */
export async function send(client, path, params) {
  const headers = { Authorization: `Bearer ${client.key}` };
  if (client.apiVersion) headers["Stripe-Version"] = client.apiVersion;
  if (client.stripeAccount) headers["Stripe-Account"] = client.stripeAccount;
  let reply;
  let text;
  try {
    const init = { method: "POST", headers, body: encodeForm(params), credentials: "omit" };
    reply = await fetch(`${client.api}/v1/${path}`, init);
    text = await reply.text();
  } catch {
    const message = "The payment service could not be reached. Please check your connection and try again.";
    return { error: { type: "api_connection_error", message } };
  }
  const unreadable = { type: "api_error", message: "The payment service gave an answer that could not be read." };
  try {
    const body = JSON.parse(text);
    return reply.ok ? { value: body } : { error: body.error ?? unreadable };
  } catch {
    return { error: unreadable };
  }
}
