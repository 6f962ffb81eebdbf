// Requests to the server, with the key that some servers ask for.
const key = () => document.querySelector("#key input").value;
const headers = () => (key() ? {Authorization: `Bearer ${key()}`} : {});

// A server's answer other than 2xx; `retryAfter` is in seconds, 0 if trying again is of no use.
class RefusedError extends Error {
  constructor(status, body, retryAfter) {
    super(reason(body) ?? `status ${status}`);
    Object.assign(this, {status, retryAfter: status === 429 ? Number(retryAfter) || 5 : 0});
  }
}

function reason(body) {
  try {
    return JSON.parse(body).error.message;
  } catch {
    return undefined; // not the server's own answer, but a proxy's
  }
}

// Transcribes a file. `onUpload` gets the share that has been sent, `onWords` the words of each part as they come.
// This is an XMLHttpRequest, since `fetch` does not report how much has been sent.
export function transcribe(file, names, signal, onUpload, onWords) {
  const form = new FormData();
  const fields = {model: "whisper-1", stream: "true", "timestamp_granularities[]": "word", prompt: names, file};
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const read = reader({
      "transcript.text.delta": (event) => onWords(event.words),
      "transcript.text.done": resolve,
      error: (event) => reject(new Error(event.error.message)),
    });
    request.open("POST", "v1/audio/transcriptions");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", ({loaded, total}) => onUpload(loaded / total));
    request.addEventListener("progress", () => request.status === 200 && read(request.responseText));
    request.addEventListener("error", () => reject(new Error("the server cannot be reached")));
    request.addEventListener("abort", () => reject(new Error("cancelled")));
    request.addEventListener("load", () => {
      if (request.status === 200) read(request.responseText);
      else reject(new RefusedError(request.status, request.responseText, request.getResponseHeader("Retry-After")));
      reject(new Error("the connection ended early")); // of no effect after the last event
    });
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

// Reads the server-sent events of a text that grows, and calls the handler of each type.
function reader(handlers) {
  let position = 0;
  return (text) => {
    for (let end = text.indexOf("\n\n", position); end >= 0; end = text.indexOf("\n\n", position)) {
      const data = text.slice(position, end).split("\n").find((line) => line.startsWith("data: "));
      position = end + 2;
      if (!data) continue; // a comment that keeps the connection open
      const event = JSON.parse(data.slice(6));
      handlers[event.type]?.(event);
    }
  };
}

// A transcript as a file in one of the server's formats.
export async function write(transcript) {
  const response = await fetch("write", {method: "POST", body: JSON.stringify(transcript), headers: headers()});
  if (!response.ok) throw new RefusedError(response.status, await response.text());
  return response.blob();
}

// The model: its name, `id`, and the `separator` of its words. Throws a RefusedError with status 401 where a key is
// needed.
export async function describeModel() {
  const response = await fetch("v1/models", {headers: headers()});
  if (!response.ok) throw new RefusedError(response.status, await response.text());
  return (await response.json()).data[0];
}

// A live stream over Vosk's protocol. Browsers cannot set headers of a WebSocket: the key goes among the protocols.
export function openStream() {
  const address = new URL("vosk", location.href.replace(/^http/, "ws"));
  return new WebSocket(address, key() ? ["realtime", `openai-insecure-api-key.${key()}`] : []);
}
