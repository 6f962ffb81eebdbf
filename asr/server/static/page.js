// The page: files and recordings in, transcripts out.
import {Card} from "./card.js";
import {Recorder} from "./recorder.js";
import {headers, needsKey, socketProtocols} from "./key.js";

const find = (id) => document.getElementById(id);
const say = (text) => { find("message").textContent = text; };

async function transcribe(file) {
  const card = new Card(file.name, file);
  find("results").prepend(card.element);
  const form = new FormData();
  const fields = {model: "whisper-1", stream: "true", "timestamp_granularities[]": "word", file};
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  try {
    const signal = card.abort.signal;
    const response = await fetch("v1/audio/transcriptions", {method: "POST", body: form, headers: headers(), signal});
    if (!response.ok) throw new Error((await response.json()).error.message);
    for await (const event of events(response.body)) {
      if (event.error) throw new Error(event.error.message);
      if (event.type === "transcript.text.delta") card.add(event.words);
    }
    card.finish();
  } catch (error) {
    card.fail(error.name === "AbortError" ? "cancelled" : error.message);
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (text + part.value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

find("files").addEventListener("change", (event) => {
  say("");
  for (const file of event.target.files) transcribe(file);
  event.target.value = "";
});
const drop = find("drop");
for (const kind of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop") for (const file of event.dataTransfer.files) transcribe(file);
  });
}

let recorder = null;
const words = [];

function show(answer) {
  for (const word of answer.result ?? []) {
    words.push({word: word.word, start: word.start, end: word.end, probability: word.conf});
    const span = document.createElement("span");
    span.textContent = word.word + " ";
    span.style.opacity = 0.45 + 0.55 * word.conf;
    find("final").append(span);
  }
  find("partial").textContent = answer.partial ?? "";
}

async function stop() {
  const sound = await recorder.stop();
  recorder = null;
  find("record").setAttribute("aria-pressed", "false");
  find("record").textContent = "Record";
  find("live").hidden = true;
  const card = new Card(`Recording of ${new Date().toLocaleTimeString()}`, sound);
  find("results").prepend(card.element);
  card.add(words);
  card.finish();
}

find("record").addEventListener("click", async () => {
  if (recorder) return stop();
  say("");
  words.length = 0;
  find("final").replaceChildren();
  recorder = new Recorder(show, say);
  try {
    await recorder.start(socketProtocols());
  } catch (error) {
    recorder = null;
    return say(`No recording: ${error.message}`);
  }
  find("live").hidden = false;
  find("record").setAttribute("aria-pressed", "true");
  find("record").textContent = "Stop";
});

async function greet() {
  const response = await fetch("v1/models", {headers: headers()});
  find("key").hidden = !needsKey(response);
  if (response.ok) find("model").textContent = `Model: ${(await response.json()).data[0].id}`;
}
find("key").addEventListener("change", greet);
greet();
