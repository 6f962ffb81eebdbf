// The page: files and recordings in, transcripts out.
import {Card} from "./card.js";
import {describeModel, transcribe} from "./client.js";
import {Recorder} from "./recorder.js";

const MOST_AT_ONCE = 2; // files; the others wait here rather than in the server's queue

const find = (id) => document.getElementById(id);
const warn = (text) => { find("message").textContent = text; };
const report = (text) => { find("status").textContent = text; };

const waiting = [];
let running = 0;
let separator = " "; // of words, as the model writes them

function addFiles(files) {
  warn("");
  for (const file of files) {
    const card = new Card(file.name, file, separator);
    find("results").prepend(card.element);
    enqueue(card, file);
  }
}

function enqueue(card, file) {
  card.showProgress(NaN, "Waiting");
  const entry = {card, file};
  waiting.push(entry);
  card.abort.signal.addEventListener("abort", () => {
    if (!waiting.includes(entry)) return; // it is at work, and ends there
    waiting.splice(waiting.indexOf(entry), 1);
    card.finish("Cancelled.");
  });
  startNext();
}

async function startNext() {
  if (running >= MOST_AT_ONCE || !waiting.length) return;
  const {card, file} = waiting.shift();
  running++;
  await work(card, file);
  running--;
  startNext();
}

async function work(card, file) {
  try {
    await transcribePatiently(card, file);
    card.finish();
    report(`The transcript of ${card.name} is ready.`);
  } catch (error) {
    card.finish(card.abort.signal.aborted ? "Cancelled." : `Not transcribed: ${error.message}`);
    report(`${card.name}: ${error.message}`);
  }
}

// Tries again for as long as the server is busy.
async function transcribePatiently(card, file) {
  const {signal} = card.abort;
  const onUpload = (share) => (share < 1 ? card.showProgress(share, "Uploading") : card.showProgress(NaN, "Transcribing"));
  for (;;) {
    if (signal.aborted) throw new Error("cancelled");
    try {
      return await transcribe(file, find("names").value, signal, onUpload, (words) => card.add(words));
    } catch (error) {
      if (!error.retryAfter) throw error;
      card.showProgress(NaN, "The server is busy");
      await new Promise((resolve) => {
        setTimeout(resolve, 1000 * error.retryAfter);
        signal.addEventListener("abort", resolve);
      });
    }
  }
}

find("files").addEventListener("change", (event) => {
  addFiles(event.target.files);
  event.target.value = "";
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    find("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") addFiles(event.dataTransfer.files);
  });
}

let recorder = null;
let phrase = []; // final words since the last pause
let spoken = []; // the words before

function show(answer) {
  phrase = answer.result ?? answer.partial_result ?? (answer.partial === undefined ? [] : phrase);
  if (answer.partial === undefined) {
    spoken.push(...phrase);
    phrase = [];
  }
  const shown = find("final").children.length;
  for (const {word, conf} of [...spoken, ...phrase].slice(shown)) {
    const span = document.createElement("span");
    span.textContent = word + separator;
    span.style.opacity = 0.6 + 0.4 * conf;
    find("final").append(span);
  }
  find("partial").textContent = (answer.partial ?? "").slice(phrase.map(({word}) => word).join(separator).length);
}

async function startRecording() {
  warn("");
  [phrase, spoken] = [[], []];
  find("final").replaceChildren();
  find("partial").textContent = "";
  const phrases = find("names").value.split(",").map((each) => each.trim()).filter(Boolean);
  recorder = new Recorder(phrases, show, (reason) => warn(`No live words: ${reason}`));
  try {
    await recorder.start();
  } catch (error) {
    recorder = null;
    return warn(`No recording: ${error.message}`);
  }
  showRecording(true);
}

async function stopRecording() {
  const sound = await recorder.stop();
  const {complete} = recorder;
  recorder = null;
  showRecording(false);
  const card = new Card(`Recording of ${new Date().toLocaleTimeString()}`, sound, separator);
  find("results").prepend(card.element);
  if (!complete) return enqueue(card, sound);
  card.transcript.add(spoken.map(({word, start, end, conf}) => ({word, start, end, probability: conf})));
  card.finish();
}

function showRecording(on) {
  find("live").hidden = !on;
  find("record").setAttribute("aria-pressed", String(on));
  find("record").textContent = on ? "Stop" : "Record";
}

find("record").addEventListener("click", async () => {
  find("record").disabled = true; // until the microphone has been opened, or the last words have come
  await (recorder ? stopRecording() : startRecording());
  find("record").disabled = false;
  find("record").focus();
});

async function greet() {
  try {
    const model = await describeModel();
    separator = model.separator;
    find("model").textContent = `Model: ${model.id}`;
    find("key").hidden = true;
  } catch (error) {
    find("key").hidden = error.status !== 401;
    if (error.status !== 401) warn(`The server cannot be used: ${error.message}`);
  }
}
find("key").addEventListener("change", greet);
greet();
