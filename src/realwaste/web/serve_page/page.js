// What the pages of `serve` and `review` share.

export const byId = (id) => document.getElementById(id);

/** The JSON of a response; throws an Error with the server's message if the request fails. */
export async function fetchJson(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? `The server answered ${response.status}.`);
  return body;
}

export function element(tag, text, className = "") {
  const created = document.createElement(tag);
  created.textContent = text;
  created.className = className;
  return created;
}

export function showError(text) {
  byId("failure").textContent = text;
  byId("failure").hidden = !text;
}
